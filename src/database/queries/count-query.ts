import { CountedQuery } from './counted-query.ts'
import { expectations } from './expectation.ts'
import { queryText } from './fingerprint.ts'
import { tellSql } from './normalise-sql.ts'
import { reportQueries } from './query-book.ts'
import { QueryBudgetError } from './query-budget-error.ts'
import { requestTally } from './query-holder.ts'

/**
 * Counts a query that is asked for now, in the request it belongs to and in what a test expects. Null for what is none: `begin`, `set` and their like.
 *
 * @param values its parameters, as they were given
 * @param now monotonic milliseconds
 */
export function countQuery(
  sql: string,
  values: unknown,
  pool: string,
  isPostgres: boolean,
  now: number,
): CountedQuery | null {
  const text = queryText(sql, pool, isPostgres)
  const { fingerprint } = text
  if (fingerprint.role === 'control') return null
  reportQueries()
  const tally = requestTally()
  const query = tally === null ? new CountedQuery(fingerprint, null, null, null, false) : tally.begin(text, values, now)
  if (expectations.size > 0) query.also = expectations.begin(text, values, now)
  // In tests what is over the budget fails, where it can be seen; a request of a user is not worse off for it.
  if (tally !== null && tally.total > tally.max && (query.also !== null || process.env.NODE_ENV === 'test')) {
    query.refusal = new QueryBudgetError(tally.max, tellSql(fingerprint.text))
  }
  return query
}
