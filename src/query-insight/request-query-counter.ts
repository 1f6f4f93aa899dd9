import { KeyedLogThrottle } from '../diagnostics/log-throttle.ts'
import { errorText } from '../redaction/redaction.ts'
import { ms } from '../resilience/duration.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import { QueryCounter } from './query-counter.ts'
import { type QueryRules, queryRules } from './query-rules.ts'
import { recordRepeat, recordRequest } from './query-stats.ts'
import { adviceFor, findRepeats, formatRepeat, type Repeat } from './repeats.ts'
import type { EndedRequest, LogFinding, QueryFinding, RequestQueries } from './request-queries.ts'
import { formatSql } from './sql-text.ts'

/** Each finding is logged once an hour by each process. */
const throttle = new KeyedLogThrottle(ms(3_600_000), 1_000)

/** Counts the queries of one request and logs what stands out when the request ends. */
export class RequestQueryCounter implements RequestQueries {
  readonly counter: QueryCounter
  /** The most queries that the request may run. */
  max: number

  constructor({ repeatedQueryThreshold, maxQueriesPerRequest }: QueryRules) {
    this.counter = new QueryCounter(repeatedQueryThreshold, false)
    this.max = maxQueriesPerRequest
  }

  ended(request: EndedRequest, log: LogFinding | null): void {
    const { total, suspects } = this.counter
    const isOver = total > this.max
    const route = recordRequest(request, total, isOver)
    if (isOver && log !== null && throttle.shouldLog(`max ${route}`)) log(this.#tooManyQueries())
    if (suspects !== null) void this.#logRepeats(route, log)
  }

  async #logRepeats(route: string, log: LogFinding | null): Promise<void> {
    try {
      for (const repeat of await findRepeats(this.counter)) {
        const { fingerprint } = repeat.use
        recordRepeat(route, fingerprint, repeat)
        const key = `repeat ${fingerprint.id} ${repeat.kind} ${repeat.place}`
        if (log !== null && throttle.shouldLog(key)) log(repeatFinding(repeat))
      }
    } catch (error) {
      // A bug in the counting must not end the app.
      console.error(`punctual: could not report repeated queries: ${errorText(error)}`)
    }
  }

  #tooManyQueries(): QueryFinding {
    const { max } = this
    const { total, uses } = this.counter
    const most = uses.toSorted((one, other) => other.count - one.count)[0]
    const mostRepeated =
      most === undefined || most.count < 2 ? null : { sql: formatSql(most.fingerprint.text), count: most.count }
    const mostly = mostRepeated === null ? '' : `; ${mostRepeated.count} of them "${mostRepeated.sql}"`
    return {
      event: 'too-many-queries',
      did: `ran ${total} queries, more than the maximum of ${max}${mostly}`,
      fields: { queries: total, maxQueriesPerRequest: max, mostRepeated },
    }
  }
}

function repeatFinding(repeat: Repeat): QueryFinding {
  const { use, kind, count, place, via } = repeat
  const { fingerprint, busyMs, rows } = use
  return {
    event: 'query-repeated',
    did: `ran ${formatRepeat(repeat)}`,
    fields: {
      query: fingerprint.id,
      sql: formatSql(fingerprint.text),
      pool: fingerprint.pool,
      repeats: count,
      repeatedMs: Math.round(busyMs * 10) / 10,
      rows,
      repeatKind: kind,
      place,
      ...(via === null ? {} : { via }),
      advice: adviceFor(repeat),
    },
  }
}

/** The part of a request scope that is used here. Another copy of this package may have made it. */
interface QueriesHolder extends WaitNode {
  /** Null until the request runs a query. */
  queries: RequestQueries | null
  /** The maximum of this request; null if the setting applies. */
  readonly maxQueriesPerRequest: number | null
  readonly ended: boolean
}

/**
 * Returns the counter of the current request; null outside of requests and after the response.
 *
 * @param home the innermost scope
 */
export function requestQueryCounter(home: object | null): RequestQueryCounter | null {
  for (let node = home as WaitNode | null; node !== null; node = node.parent) {
    const holder = node as QueriesHolder
    if (holder.queries === undefined) continue
    if (holder.ended) return null
    let queries = holder.queries
    if (queries === null) {
      queries = new RequestQueryCounter(queryRules())
      holder.queries = queries
    }
    // A counter made by another copy of this package counts only the queries of that copy.
    if (!(queries instanceof RequestQueryCounter)) return null
    if (holder.maxQueriesPerRequest !== null) queries.max = holder.maxQueriesPerRequest
    return queries
  }
  return null
}
