import { monotonicNow } from '../../wait/clock.ts'
import type { CallStack } from './call-stack.ts'
import type { Fingerprint } from './fingerprint.ts'
import { bookQuery } from './query-book.ts'
import type { QueryBudgetError } from './query-budget-error.ts'
import type { QueryUse } from './query-use.ts'

/** Where a query is counted. */
export interface CountedIn {
  end(query: CountedQuery, now: number, duration: number, rows: number, failed: boolean): void
}

/** A query that is counted, from the call to its end. One object does for all that must be known of it: there is one for every query. */
export class CountedQuery {
  readonly fingerprint: Fingerprint
  readonly #tally: CountedIn | null
  /** Null outside of requests. */
  readonly use: QueryUse | null
  readonly stack: CallStack | null
  /** It counts as a run that may be a repeat. */
  readonly counts: boolean
  /** The same, in what a test expects. */
  also: readonly CountedQuery[] | null = null
  /** Why it must not be sent. */
  refusal: QueryBudgetError | null = null
  #ended = false

  constructor(
    fingerprint: Fingerprint,
    tally: CountedIn | null,
    use: QueryUse | null,
    stack: CallStack | null,
    counts: boolean,
  ) {
    this.fingerprint = fingerprint
    this.#tally = tally
    this.use = use
    this.stack = stack
    this.counts = counts
  }

  /**
   * Later calls change nothing.
   *
   * @param rows that it gave back or changed
   * @param startedAt monotonic milliseconds, as `now`. Not kept here: a number with a fraction is an object of its own
   */
  ended(rows: number, failed: boolean, startedAt: number, now: number = monotonicNow()): void {
    if (this.#ended) return
    this.#ended = true
    const duration = now - startedAt
    bookQuery(this.fingerprint, duration, rows, failed)
    if (this.#tally !== null) this.#tally.end(this, now, duration, rows, failed)
    if (this.also !== null) for (const query of this.also) query.#tally?.end(query, now, duration, rows, failed)
  }
}
