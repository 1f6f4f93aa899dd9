import { PunctualError } from '../errors/punctual-error.ts'
import type { Fingerprint } from './fingerprint.ts'
import { recordQuery } from './query-stats.ts'

/**
 * A query that is counted, from the call to its end. Each query has one object. Its classes extend
 * nothing, because objects of derived classes take three times as long to create, and are small,
 * because all of them are garbage later (`bench -- queries`).
 */
export interface CountedQuery {
  readonly fingerprint: Fingerprint
  /** Null outside of tests. */
  inTest: InTest | null
  /**
   * Records the end of the query. Later calls change nothing.
   *
   * @param rows the rows it returned or changed
   * @param startedAt monotonic milliseconds, as `now`; a field of its own would be one more object
   * @param now default: the time of the call
   */
  ended(rows: number, failed: boolean, startedAt: number, now?: number): void
  /** Records the end in the counter that the query began in, and nowhere else. */
  endedHere(rows: number, failed: boolean, startedAt: number, now: number): void
}

/** What a query has in tests only. */
export interface InTest {
  /** The same query in the counters of `expectQueries` and `expectNoRepeats`. */
  readonly also: readonly CountedQuery[]
  /** Why the query must not be sent. */
  readonly refusal: TooManyQueriesError | null
}

/** Implements the first call of `ended`. Numbers are passed on unchanged, to create no objects. */
export function endQuery(query: CountedQuery, rows: number, failed: boolean, startedAt: number, now: number): void {
  recordQuery(query.fingerprint, now - startedAt, rows, failed)
  query.endedHere(rows, failed, startedAt, now)
  if (query.inTest !== null) for (const other of query.inTest.also) other.endedHere(rows, failed, startedAt, now)
}

/**
 * A request ran more queries than its route may. Only thrown in tests, by the first query that is
 * too many; that query was not sent.
 */
export class TooManyQueriesError extends PunctualError {
  static {
    TooManyQueriesError.prototype.name = 'TooManyQueriesError'
  }

  /** The most queries that the request may run. */
  readonly max: number

  constructor(max: number, sql: string) {
    super(
      'PUNCTUAL_TOO_MANY_QUERIES',
      `the request may run ${max === 1 ? '1 query' : `${max} queries`}; one more is: ${sql}`,
    )
    this.max = max
  }
}
