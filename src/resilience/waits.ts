import type { Milliseconds } from './duration.ts'

/**
 * How a wait ended. `expired`: it ran out, and nothing took its place. `degraded`: a fallback took
 * its place. `aborted`: given up for a reason that is no time-out. `refused`: not begun.
 */
export type WaitOutcome = 'ok' | 'failed' | 'timed-out' | 'degraded' | 'aborted' | 'refused'

/** One wait, as it is written down. */
export interface WaitRecord {
  readonly name: string
  /** Milliseconds of the monotonic clock. */
  readonly startedAt: number
  /** What it was allowed, in milliseconds. */
  readonly timeout: Milliseconds
  /** Null while it is awaited. */
  readonly outcome: WaitOutcome | null
  /** Milliseconds of the monotonic clock; null while it is awaited. */
  readonly endedAt: number | null
}

const BOUND = 100

/**
 * The waits of one unit of work, in the order they began: at most `bound` of them by name, the rest
 * counted.
 */
export class Waits {
  readonly #bound: number
  readonly #recorded: WaitRecord[] = []
  #unrecorded = 0
  /** Those beyond the bound that are still awaited: it must be possible to say what for. */
  #openBeyond: Set<WaitRecord> | null = null
  readonly #counts: Record<WaitOutcome, number> = {
    ok: 0,
    failed: 0,
    'timed-out': 0,
    degraded: 0,
    aborted: 0,
    refused: 0,
  }

  /** @param bound how many waits are kept; default 100 */
  constructor(bound: number = BOUND) {
    this.#bound = bound
  }

  /** The first waits, up to the bound. */
  get recorded(): readonly WaitRecord[] {
    return this.#recorded
  }

  /** How many came after the bound was reached. */
  get unrecorded(): number {
    return this.#unrecorded
  }

  /** How many of all waits ended so. */
  count(outcome: WaitOutcome): number {
    return this.#counts[outcome]
  }

  /** What is still awaited, the longest first; those beyond the bound too. */
  open(): readonly WaitRecord[] {
    const open = this.#recorded.filter(({ outcome }) => outcome === null)
    return this.#openBeyond === null ? open : [...open, ...this.#openBeyond]
  }

  begin(record: WaitRecord): void {
    if (this.#recorded.length < this.#bound) {
      this.#recorded.push(record)
      return
    }
    this.#unrecorded++
    this.#openBeyond ??= new Set()
    this.#openBeyond.add(record)
  }

  /** To be called once the record has its outcome. */
  end(record: WaitRecord): void {
    if (record.outcome !== null) this.#counts[record.outcome]++
    if (this.#openBeyond !== null) this.#openBeyond.delete(record)
  }
}
