import { monotonicNow } from '../resilience/clock.ts'
import { type CountedQuery, endQuery, type InTest } from './counted-query.ts'
import type { Fingerprint } from './fingerprint.ts'
import { QueryRepeats } from './query-repeats.ts'
import type { QueryText } from './query-text.ts'

/** Longest first run that is told, in microseconds: half an hour. */
const MOST_MICROS = 2 ** 31 - 1
const RUNS = -1
/** It ended when there were others: they have its time too. */
const WITH_OTHERS = -2

/** Where queries are counted, as far as these need to know. */
export interface CountedIn {
  failures: number
}

/**
 * What a request, or whatever else is counted, does with one fingerprint; and the first run of it, because most are run once. Small, and without
 * fractions: there is one for nearly every query.
 */
export class QueryUse implements CountedQuery {
  inTest: InTest | null = null
  /** Null outside of requests. */
  readonly #tally: CountedIn | null
  /** The one before, in the order in which they were first run. */
  readonly previous: QueryUse | null
  readonly #first: QueryText
  readonly #firstValues: unknown
  /** Runs that count: not failed, not retried, not by design. */
  count = 1
  rows = 0
  /** How long the first took, in microseconds, or one of the above. */
  #firstMicros: number = RUNS
  /** What was counted of failures when this ran last. */
  failuresSeen: number
  readonly #writesSeen: number
  /** Null until it is run again. */
  repeats: QueryRepeats | null = null

  constructor(
    tally: CountedIn | null,
    previous: QueryUse | null,
    first: QueryText,
    values: unknown,
    failures: number,
    writes: number,
  ) {
    this.#tally = tally
    this.previous = previous
    this.#first = first
    this.#firstValues = values
    this.failuresSeen = failures
    this.#writesSeen = writes
  }

  get fingerprint(): Fingerprint {
    return this.#first.fingerprint
  }

  /** All of them. */
  get runs(): number {
    return this.repeats?.runs ?? 1
  }

  /** Milliseconds in which at least one of them ran. */
  get busyMs(): number {
    return Math.max(0, this.#firstMicros) / 1_000 + (this.repeats?.busyMs ?? 0)
  }

  /** It is run again. */
  begin(now: number): QueryRepeats {
    this.repeats ??= new QueryRepeats(this.#first, this.#firstValues, this.#writesSeen, now, this.#firstMicros === RUNS)
    this.repeats.begin(now)
    return this.repeats
  }

  ended(rows: number, failed: boolean, startedAt: number, now: number = monotonicNow()): void {
    if (this.#firstMicros === RUNS) endQuery(this, rows, failed, startedAt, now)
  }

  endedHere(rows: number, failed: boolean, startedAt: number, now: number): void {
    this.rows += rows
    if (this.repeats === null) {
      const micros = (now - startedAt) * 1_000
      this.#firstMicros = micros < 0 ? 0 : micros < MOST_MICROS ? micros | 0 : MOST_MICROS
    } else {
      this.#firstMicros = WITH_OTHERS
      this.repeats.end(now)
    }
    if (failed) this.fail(true)
  }

  /** A later run has ended. */
  laterEnded(rows: number, now: number): void {
    this.rows += rows
    this.repeats?.end(now)
  }

  /** A run has failed. What failed is tried again, as often as that takes. */
  fail(counts: boolean): void {
    if (this.#tally !== null) this.#tally.failures++
    if (counts) this.count--
  }
}
