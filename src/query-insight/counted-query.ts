import type { Fingerprint } from './fingerprint.ts'
import { bookQuery } from './query-book.ts'
import type { TooManyQueriesError } from './query-budget-error.ts'

/**
 * A query that is counted, from the call to its end. There is one object for each query: what implements this extends nothing, because objects of derived
 * classes take three times as long to make, and it is small, because what is made has to be collected.
 */
export interface CountedQuery {
  readonly fingerprint: Fingerprint
  /** Null outside of tests. */
  inTest: InTest | null
  /**
   * Later calls change nothing.
   *
   * @param rows that it gave back or changed
   * @param startedAt monotonic milliseconds, as `now`. Not kept here: a number with a fraction is an object of its own
   * @param now default: when it is called
   */
  ended(rows: number, failed: boolean, startedAt: number, now?: number): void
  /** What `ended` does where it was begun, and nowhere else. */
  endedHere(rows: number, failed: boolean, startedAt: number, now: number): void
}

/** What a query has in a test alone. */
export interface InTest {
  /** The same, in what is expected. */
  readonly also: readonly CountedQuery[]
  /** Why it must not be sent. */
  readonly refusal: TooManyQueriesError | null
}

/** What `ended` does, the first time. The instants are handed on as they came: a number that is worked out for a call is an object too. */
export function endQuery(query: CountedQuery, rows: number, failed: boolean, startedAt: number, now: number): void {
  bookQuery(query.fingerprint, now - startedAt, rows, failed)
  query.endedHere(rows, failed, startedAt, now)
  if (query.inTest !== null) for (const other of query.inTest.also) other.endedHere(rows, failed, startedAt, now)
}
