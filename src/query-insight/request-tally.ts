import type { QueryRules } from '../diagnostics/query-rules.ts'
import type { EndedRequest, QueryFinding, RequestQueries, TellFinding } from '../diagnostics/request-queries.ts'
import { formatElapsed } from '../resilience/duration.ts'
import { findRepeats } from './find-repeats.ts'
import { tellSql } from './normalise-sql.ts'
import { bookRepeat, bookRequest } from './query-book.ts'
import { QueryTally } from './query-tally.ts'
import type { Repeat } from './repeat.ts'
import { tellNow } from './told-lately.ts'

/** The queries of one request. */
export class RequestTally implements RequestQueries {
  readonly tally: QueryTally
  /** How many it may run. */
  max: number

  constructor({ repeatedQueryThreshold, maxQueriesPerRequest }: QueryRules) {
    this.tally = new QueryTally(repeatedQueryThreshold, false)
    this.max = maxQueriesPerRequest
  }

  ended(request: EndedRequest, tell: TellFinding | null): void {
    const { total, suspects } = this.tally
    const over = total > this.max
    const name = bookRequest(request, total, over)
    if (over && tell !== null && tellNow(`budget ${name}`)) tell(this.#overBudget())
    if (suspects !== null) void this.#tellRepeats(name, tell)
  }

  async #tellRepeats(route: string, tell: TellFinding | null): Promise<void> {
    try {
      for (const repeat of await findRepeats(this.tally)) {
        const { fingerprint } = repeat.use
        bookRepeat(route, fingerprint, repeat)
        if (tell !== null && tellNow(`repeat ${fingerprint.id} ${repeat.kind} ${repeat.place}`))
          tell(repeatFinding(repeat))
      }
    } catch (error) {
      // To count is not worth an app's life.
      console.error('punctual: repeated queries could not be told:', error)
    }
  }

  #overBudget(): QueryFinding {
    const { max } = this
    const { total, uses } = this.tally
    const most = uses.toSorted((one, other) => other.count - one.count)[0]
    const repeated =
      most === undefined || most.count < 2 ? null : { sql: tellSql(most.fingerprint.text), count: most.count }
    const mostly = repeated === null ? '' : `; ${repeated.count} were "${repeated.sql}"`
    return {
      event: 'query-budget-exceeded',
      did: `ran ${total} queries, and its budget is ${max}${mostly}`,
      fields: { queries: total, maxQueriesPerRequest: max, mostRepeated: repeated },
    }
  }
}

function repeatFinding(repeat: Repeat): QueryFinding {
  const { use, kind, count, place, via } = repeat
  const { fingerprint, busyMs, rows } = use
  return {
    event: 'query-repeated',
    did: `ran ${tellRepeat(repeat)}`,
    fields: {
      query: fingerprint.id,
      sql: tellSql(fingerprint.text),
      pool: fingerprint.pool,
      repeats: count,
      repeatedMs: Math.round(busyMs * 10) / 10,
      rows,
      repeatKind: kind,
      place,
      ...(via === null ? {} : { via }),
      advice: adviceOn(repeat),
    },
  }
}

const ADVICE = {
  'keep-answer': 'with the same values each time: ask once and keep the answer',
  'write-together': 'write them together',
  'load-together': 'load them together',
} as const

/** What to do about a repeat. */
export function adviceOn({ kind, use }: Pick<Repeat, 'kind' | 'use'>): keyof typeof ADVICE {
  if (kind === 'same') return 'keep-answer'
  return use.fingerprint.role === 'write' ? 'write-together' : 'load-together'
}

/** `"select …" 100 times (412 ms) at src/list.ts:31, through ask (src/ask.ts:7); load them together`. */
export function tellRepeat(repeat: Repeat): string {
  const { use, count, place, via } = repeat
  const through = via === null ? '' : `, through ${via}`
  const times = `${count} times (${formatElapsed(use.busyMs)})`
  return `"${tellSql(use.fingerprint.text)}" ${times} at ${place}${through}; ${ADVICE[adviceOn(repeat)]}`
}
