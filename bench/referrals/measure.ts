import http from 'node:http'
import { type Outcome, percentile } from '../auth/clients.ts'
import type { StartedApp } from '../auth/started-app.ts'
import { type BothSides, type Case, pathOf, SIDES, type Side } from './cases.ts'

/** Above everything a page may take here. */
const CLIENT_LIMIT = 120_000

/** What one case came to, on one side. */
export interface Figures {
  /** Of one page, counted between the app and its database. */
  readonly queries: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly requestsPerSecond: number
  readonly requests: number
}

export interface Plan {
  readonly requests: number
  readonly atOnce: number
}

/** One side after the other. @throws Error unless every page was answered with success and in full */
export async function measureCase(app: StartedApp, each: Case, plan: Plan): Promise<BothSides<Figures>> {
  const figures: Partial<Record<Side, Figures>> = {}
  for (const side of SIDES) figures[side] = await measureSide(app, each, side, plan)
  return figures as BothSides<Figures>
}

async function measureSide(app: StartedApp, each: Case, side: Side, { requests, atOnce }: Plan): Promise<Figures> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: atOnce })
  const count = Math.ceil(requests * each.share)
  const ask = (index: number): Promise<Outcome> => getPage(agent, `${app.url}${pathOf(each, side, index)}`, each.rows)
  try {
    // Connections are opened before, on both sides of the app, as that takes queries and time of its own.
    await askAll(3 * atOnce, atOnce, ask)
    const queries = await countQueries(app, ask)
    await app.order(each.delay === undefined ? {} : { queryDelay: each.delay })
    const start = performance.now()
    const outcomes = await askAll(count, atOnce, ask)
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

/** Of one request alone: the least of some, as a worker that has no free connection opens one with queries of its own. */
async function countQueries(app: StartedApp, ask: (index: number) => Promise<Outcome>): Promise<number> {
  const counts: number[] = []
  for (let index = 0; index < 4; index++) {
    const earlier = await app.queries()
    await ask(index)
    counts.push((await app.queries()) - earlier)
  }
  return Math.min(...counts)
}

/** Each client asks for the next page as soon as it has one. */
async function askAll(
  count: number,
  atOnce: number,
  ask: (index: number) => Promise<Outcome>,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  let next = 0
  const client = async (): Promise<void> => {
    while (next < count) outcomes.push(await ask(next++))
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, client))
  return outcomes
}

/** The time is that of the whole answer; to read it is not part of it. */
function getPage(agent: http.Agent, url: string, rows: number): Promise<Outcome> {
  const start = performance.now()
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent, timeout: CLIENT_LIMIT }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', reject)
      response.on('end', () => {
        const milliseconds = performance.now() - start
        const status = response.statusCode ?? 0
        if (status !== 200) reject(new Error(`${url} answered ${status} ${text.slice(0, 300)}`))
        else if (text.split('"referredBy"').length - 1 !== rows) reject(new Error(`${url} did not give ${rows} rows`))
        else resolve({ status, milliseconds })
      })
    })
    request.on('timeout', () => request.destroy(new Error(`${url} gave no answer in ${CLIENT_LIMIT / 1_000} s`)))
    request.on('error', reject)
  })
}
