import type { Fingerprint, QueryText } from './fingerprint.ts'
import { QueryRepeats } from './query-repeats.ts'

/** Longest first run that is told, in microseconds: half an hour. */
const MOST_MICROS = 2 ** 31 - 1

/** What a request, or whatever else is counted, does with one fingerprint. Small, and without fractions: there is one for nearly every query. */
export class QueryUse {
  readonly fingerprint: Fingerprint
  readonly #first: QueryText
  readonly #firstValues: unknown
  /** Runs that count: not failed, not retried, not by design. */
  count = 1
  /** All of them. */
  runs = 1
  rows = 0
  /** How long the first took, in microseconds; -1 while it runs. */
  #firstMicros = -1
  /** What was counted of failures when this ran last. */
  failuresSeen: number
  readonly #writesSeen: number
  /** Null until it is run again. */
  repeats: QueryRepeats | null = null

  constructor(first: QueryText, values: unknown, failures: number, writes: number) {
    this.fingerprint = first.fingerprint
    this.#first = first
    this.#firstValues = values
    this.failuresSeen = failures
    this.#writesSeen = writes
  }

  /** Milliseconds in which at least one of them ran. */
  get busyMs(): number {
    return Math.max(0, this.#firstMicros) / 1_000 + (this.repeats?.busyMs ?? 0)
  }

  /** It is run again. */
  begin(now: number): QueryRepeats {
    this.runs++
    this.repeats ??= new QueryRepeats(this.#first, this.#firstValues, this.#writesSeen, now, this.#firstMicros === -1)
    this.repeats.begin(now)
    return this.repeats
  }

  /** A run of it has ended that took so many milliseconds. */
  end(now: number, duration: number, rows: number): void {
    this.rows += rows
    if (this.repeats === null) this.#firstMicros = Math.min(Math.max(0, Math.round(duration * 1_000)), MOST_MICROS)
    else this.repeats.end(now)
  }
}
