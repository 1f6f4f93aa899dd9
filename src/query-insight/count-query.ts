import type { WaitsHolder } from '../resilience/wait-node.ts'
import type { CountedQuery, InTest } from './counted-query.ts'
import { expectations } from './expectation.ts'
import type { Fingerprint } from './fingerprint.ts'
import { tellSql } from './normalise-sql.ts'
import { reportQueries } from './query-book.ts'
import { TooManyQueriesError } from './query-budget-error.ts'
import { requestTally } from './query-holder.ts'
import { queryText } from './query-text.ts'
import { QueryUse } from './query-use.ts'

/**
 * Counts a query that is asked for now, in the request it belongs to and in what a test expects. Null for what is none: `begin`, `set` and their like.
 *
 * @param values its parameters, as they were given
 * @param now monotonic milliseconds
 * @param home the work it is part of, as a wait that begins now has it; whoever counts has looked that up already
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
  const request = requestTally(home)
  const query =
    request === null ? new QueryUse(null, null, text, undefined, 0, 0) : request.tally.begin(text, values, now)
  const over = request !== null && request.tally.total > request.max ? request : null
  if (over !== null || expectations.size > 0) {
    query.inTest = inTest(expectations.begin(text, values, now), over, fingerprint)
  }
  return query
}

/** In tests what is over the budget fails, where it can be seen; a request of a user is not worse off for it. */
function inTest(
  also: readonly CountedQuery[] | null,
  over: { readonly max: number } | null,
  { text }: Fingerprint,
): InTest | null {
  const fails = over !== null && (also !== null || process.env.NODE_ENV === 'test')
  if (also === null && !fails) return null
  return { also: also ?? [], refusal: fails ? new TooManyQueriesError(over.max, tellSql(text)) : null }
}
