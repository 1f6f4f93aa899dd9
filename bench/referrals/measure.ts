import http from 'node:http'
import { type Outcome, percentile } from '../auth/clients.ts'
import type { StartedApp } from '../auth/started-app.ts'
import { type BothSides, type Case, pathOf, SIDES, type Side } from './cases.ts'

/** Milliseconds; longer than any page takes. */
const CLIENT_TIMEOUT = 120_000

/** Result of one case on one side. */
export interface Figures {
  /** Queries per page, counted between the app and its database. */
  readonly queries: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly requestsPerSecond: number
  readonly requests: number
}

export interface Plan {
  readonly requests: number
  readonly concurrency: number
}

/**
 * Measures one side, then the other.
 *
 * @throws Error unless every page is complete
 */
export async function measureCase(app: StartedApp, each: Case, plan: Plan): Promise<BothSides<Figures>> {
  const figures: Partial<Record<Side, Figures>> = {}
  for (const side of SIDES) figures[side] = await measureSide(app, each, side, plan)
  return figures as BothSides<Figures>
}

async function measureSide(app: StartedApp, each: Case, side: Side, { requests, concurrency }: Plan): Promise<Figures> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: concurrency })
  const count = Math.ceil(requests * each.share)
  const requestPage = (index: number): Promise<Outcome> =>
    getPage(agent, `${app.url}${pathOf(each, side, index)}`, each.rows)
  try {
    // Opens the connections to the app and to the database, which cost queries and time.
    await requestAll(3 * concurrency, concurrency, requestPage)
    const queries = await countQueries(app, requestPage)
    await app.order(each.delay === undefined ? {} : { queryDelay: each.delay })
    const start = performance.now()
    const outcomes = await requestAll(count, concurrency, requestPage)
    const seconds = (performance.now() - start) / 1_000
    await app.order({})
    return {
      queries,
      p50: percentile(outcomes, 0.5),
      p99: percentile(outcomes, 0.99),
      requestsPerSecond: count / seconds,
      requests: count,
    }
  } finally {
    agent.destroy()
  }
}

/**
 * Returns the queries of one request: the minimum of several, because a new connection sends
 * queries of its own.
 */
async function countQueries(app: StartedApp, requestPage: (index: number) => Promise<Outcome>): Promise<number> {
  const counts: number[] = []
  for (let index = 0; index < 4; index++) {
    const earlier = await app.queries()
    await requestPage(index)
    counts.push((await app.queries()) - earlier)
  }
  return Math.min(...counts)
}

/** Each client requests its next page as soon as it has one. */
async function requestAll(
  count: number,
  concurrency: number,
  requestPage: (index: number) => Promise<Outcome>,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  let next = 0
  const client = async (): Promise<void> => {
    while (next < count) outcomes.push(await requestPage(next++))
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, client))
  return outcomes
}

/** Measures until the whole response has arrived, without its parsing. */
function getPage(agent: http.Agent, url: string, rows: number): Promise<Outcome> {
  const start = performance.now()
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent, timeout: CLIENT_TIMEOUT }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', reject)
      response.on('end', () => {
        const milliseconds = performance.now() - start
        const status = response.statusCode ?? 0
        if (status !== 200) reject(new Error(`${url} returned ${status} ${text.slice(0, 300)}`))
        else if (text.split('"referredBy"').length - 1 !== rows) reject(new Error(`${url} did not return ${rows} rows`))
        else resolve({ status, milliseconds })
      })
    })
    request.on('timeout', () => request.destroy(new Error(`${url} did not respond within ${CLIENT_TIMEOUT / 1_000} s`)))
    request.on('error', reject)
  })
}
