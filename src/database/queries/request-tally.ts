import type { QueryRules } from '../../report/query-rules.ts'
import type { EndedRequest, QueryFinding, RequestQueries, TellFinding } from '../../report/request-queries.ts'
import { tellDuration } from '../../wait/duration.ts'
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

  constructor({ queryRepeats, queryBudget }: QueryRules) {
    this.tally = new QueryTally(queryRepeats, false)
    this.max = queryBudget
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
    const mostly =
      most === undefined || most.count < 2 ? '' : `; ${most.count} were "${tellSql(most.fingerprint.text)}"`
    return {
      event: 'query-budget-exceeded',
      did: `ran ${total} queries, and its budget is ${max}${mostly}`,
      fields: { queries: total, queryBudget: max },
    }
  }
}

/** `ran "select …" 100 times (412 ms) at src/list.ts:31; load them together`. */
function repeatFinding({ use, kind, count, place, via }: Repeat): QueryFinding {
  const { fingerprint, busyMs, rows } = use
  const through = via === null ? '' : `, through ${via}`
  return {
    event: 'query-repeated',
    did: `ran ${tellRepeat(use.fingerprint.text, count, busyMs)} at ${place}${through}; ${advice(kind, fingerprint.role)}`,
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
    },
  }
}

/** `"select …" 100 times (412 ms)`. */
export function tellRepeat(text: string, count: number, busyMs: number): string {
  return `"${tellSql(text)}" ${count} times (${tellDuration(busyMs)})`
}

export function advice(kind: Repeat['kind'], role: string): string {
  if (kind === 'same') return 'with the same values each time: ask once and keep the answer'
  return role === 'write' ? 'write them together' : 'load them together'
}
