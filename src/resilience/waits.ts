import type { Milliseconds } from './duration.ts'

/**
 * How a wait ended. `timed-out`: without a fallback. `degraded`: with a fallback. `aborted`: given
 * up for a reason that is not a timeout. `refused`: not started.
 */
export type WaitOutcome = 'ok' | 'failed' | 'timed-out' | 'degraded' | 'aborted' | 'refused'

/** The record of one wait. */
export interface WaitRecord {
  readonly name: string
  /** Milliseconds of the monotonic clock. */
  readonly startedAt: number
  /** In milliseconds. */
  readonly timeout: Milliseconds
  /** Null while it is pending. */
  readonly outcome: WaitOutcome | null
  /** Milliseconds of the monotonic clock; null while it is pending. */
  readonly endedAt: number | null
}

const BOUND = 100

/**
 * The waits of one unit of work in the order of their start: the first 100 by name, the others
 * counted.
 */
export class Waits {
  readonly #bound: number
  readonly #recorded: WaitRecord[] = []
  #unrecorded = 0
  /** Pending waits beyond the bound, so that a timeout can name them. */
  #openBeyond: Set<WaitRecord> | null = null
  readonly #counts: Record<WaitOutcome, number> = {
    ok: 0,
    failed: 0,
    'timed-out': 0,
    degraded: 0,
    aborted: 0,
    refused: 0,
  }

  /** @param bound how many waits are recorded; default 100 */
  constructor(bound: number = BOUND) {
    this.#bound = bound
  }

  /** The first waits, up to the bound. */
  get recorded(): readonly WaitRecord[] {
    return this.#recorded
  }

  /** How many waits are not recorded. */
  get unrecorded(): number {
    return this.#unrecorded
  }

  /** How many of all waits ended with this outcome. */
  count(outcome: WaitOutcome): number {
    return this.#counts[outcome]
  }

  /** The pending waits, the oldest first, including those beyond the bound. */
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

  /** Call it when the record has its outcome. */
  end(record: WaitRecord): void {
    if (record.outcome !== null) this.#counts[record.outcome]++
    if (this.#openBeyond !== null) this.#openBeyond.delete(record)
  }
}
