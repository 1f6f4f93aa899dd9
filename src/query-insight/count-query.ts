import type { WaitsHolder } from '../resilience/wait-node.ts'
import { type CountedQuery, type InTest, TooManyQueriesError } from './counted-query.ts'
import { expectations } from './expectation.ts'
import type { Fingerprint } from './fingerprint.ts'
import { reportQueries } from './query-stats.ts'
import { queryText } from './query-text.ts'
import { QueryUse } from './query-use.ts'
import { requestQueryCounter } from './request-query-counter.ts'
import { formatSql } from './sql-text.ts'

/**
 * Counts a query that starts now, in its request and in the expectations of a test. Returns null
 * for statements that are not counted, such as `begin` and `set`.
 *
 * @param values its parameters, as they were given
 * @param now monotonic milliseconds
 * @param home the scope that a wait starting now belongs to; the caller has looked it up already
 */
export function countQuery(
  sql: string,
  values: unknown,
  pool: string,
  isPostgres: boolean,
  now: number,
  home: WaitsHolder | null,
): CountedQuery | null {
  const text = queryText(sql, pool, isPostgres)
  const { fingerprint } = text
  if (fingerprint.role === 'control') return null
  reportQueries()
  const request = requestQueryCounter(home)
  const query =
    request === null ? new QueryUse(null, null, text, undefined, 0, 0) : request.counter.begin(text, values, now)
  const over = request !== null && request.counter.total > request.max ? request : null
  if (over !== null || expectations.size > 0) {
    query.inTest = inTest(expectations.begin(text, values, now), over, fingerprint)
  }
  return query
}

/** In tests a query over the maximum fails; in production it is only logged. */
function inTest(
  also: readonly CountedQuery[] | null,
  over: { readonly max: number } | null,
  { text }: Fingerprint,
): InTest | null {
  const fails = over !== null && (also !== null || process.env.NODE_ENV === 'test')
  if (also === null && !fails) return null
  return { also: also ?? [], refusal: fails ? new TooManyQueriesError(over.max, formatSql(text)) : null }
}

/**
 * A query that `pool.query` has counted and passes to the connection; undefined while there is
 * none.
 */
let pendingCount: CountedQuery | null | undefined

/** Calls `work`, which starts one query on a connection; the connection does not count it again. */
export function withPendingCount<T>(query: CountedQuery | null, work: () => T): T {
  pendingCount = query
  try {
    return work()
  } finally {
    pendingCount = undefined
  }
}

/** Returns the count of the query that `withPendingCount` starts, once; undefined without one. */
export function takePendingCount(): CountedQuery | null | undefined {
  const taken = pendingCount
  pendingCount = undefined
  return taken
}
