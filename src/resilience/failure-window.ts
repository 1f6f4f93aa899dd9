/** Pieces a window of time is divided into; a failure is forgotten one piece of the window early at most. */
const PIECES = 10

/** Counts calls and failures of the last `length` milliseconds, in a ring of ten counters. */
export class FailureWindow {
  readonly #piece: number
  readonly #calls = new Float64Array(PIECES)
  readonly #failures = new Float64Array(PIECES)
  #current = Number.NEGATIVE_INFINITY

  constructor(length: number) {
    this.#piece = length / PIECES
  }

  /** @param now milliseconds of a monotonic clock */
  count(failed: boolean, now: number): void {
    this.#turnTo(now)
    const index = this.#current % PIECES
    this.#calls[index] = (this.#calls[index] ?? 0) + 1
    if (failed) this.#failures[index] = (this.#failures[index] ?? 0) + 1
  }

  /** How many calls the window holds, and which part of them failed. */
  read(now: number): { readonly calls: number; readonly share: number } {
    this.#turnTo(now)
    const calls = this.#calls.reduce((sum, count) => sum + count, 0)
    const failures = this.#failures.reduce((sum, count) => sum + count, 0)
    return { calls, share: calls === 0 ? 0 : failures / calls }
  }

  clear(): void {
    this.#calls.fill(0)
    this.#failures.fill(0)
  }

  #turnTo(now: number): void {
    const piece = Math.floor(now / this.#piece)
    if (piece <= this.#current) return
    const first = Math.max(this.#current + 1, piece - PIECES + 1)
    for (let index = first; index <= piece; index++) {
      this.#calls[index % PIECES] = 0
      this.#failures[index % PIECES] = 0
    }
    this.#current = piece
  }
}
