/** How much of what a step prints is kept for the message of its failure. */
const LINES = 30
const LONGEST_LINE = 500
/** A line that never ends must not fill memory. */
const LONGEST_REST = 64 * 1024

/** Splits what a process prints into lines, hands each on, and keeps the last. */
export class OutputTail {
  readonly #lines: string[] = []
  readonly #onLine: (line: string) => void
  #rest = ''

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  add(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n')
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > LONGEST_REST) {
      lines.push(this.#rest)
      this.#rest = ''
    }
    for (const line of lines) this.#keep(line)
  }

  /** No more comes: what has no end of line yet is a line too. */
  end(): void {
    if (this.#rest !== '') this.#keep(this.#rest)
    this.#rest = ''
  }

  /** The last lines; empty if nothing was printed. */
  get text(): string {
    return this.#lines.join('\n')
  }

  #keep(line: string): void {
    const told = line.trimEnd().slice(0, LONGEST_LINE)
    if (told === '') return
    this.#lines.push(told)
    if (this.#lines.length > LINES) this.#lines.shift()
    this.#onLine(told)
  }
}
