import { queryRules } from '../diagnostics/query-rules.ts'
import type { RequestQueries } from '../diagnostics/request-queries.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import { RequestTally } from './request-tally.ts'

/** What is used of a request, which is made in another room, perhaps by another copy of this package. */
interface QueryHolder extends WaitNode {
  /** Null until it asks a database. */
  queries: RequestQueries | null
  /** How many queries it may run; null where that is the setting's. */
  readonly maxQueriesPerRequest: number | null
  readonly ended: boolean
}

/**
 * The tally of the request that runs now, while its client waits: what it does afterwards is in nobody's way. Null outside of any.
 *
 * @param home the innermost scope; null outside of any
 */
export function requestTally(home: object | null): RequestTally | null {
  for (let node = home as WaitNode | null; node !== null; node = node.parent) {
    const holder = node as QueryHolder
    if (holder.queries === undefined) continue
    if (holder.ended) return null
    let tally = holder.queries
    if (tally === null) {
      tally = new RequestTally(queryRules())
      holder.queries = tally
    }
    // One that another copy of this package has made is counted there.
    if (!(tally instanceof RequestTally)) return null
    if (holder.maxQueriesPerRequest !== null) tally.max = holder.maxQueriesPerRequest
    return tally
  }
  return null
}
