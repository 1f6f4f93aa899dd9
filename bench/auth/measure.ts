import { anybody, CASES, type Case, PATHS, SIDES, type Side } from './cases.ts'
import { Clients, type Outcome, percentile } from './clients.ts'
import type { StartedApp } from './started-app.ts'

/** What one row came to, on one side. */
export interface Figures {
  /** The least and the most queries of one request, counted between the app and its database. */
  readonly queries: readonly [least: number, most: number]
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

export interface Hung {
  /** How many got which status; 0 is no answer. */
  readonly statuses: Readonly<Record<number, number>>
  /** Milliseconds. */
  readonly p50: number
  readonly slowest: number
}

export type BothSides<T> = Readonly<Record<Side, T>>

export interface Plan {
  readonly requests: number
  readonly atOnce: number
  /** Milliseconds by which each query is slowed: a random time between the two. */
  readonly delay: readonly [least: number, most: number]
}

/** Every case, before and after. */
export async function measureCases(
  app: StartedApp,
  plan: Plan,
  tell: (what: string) => void,
): Promise<ReadonlyMap<Case, BothSides<Figures>>> {
  const results = new Map<Case, BothSides<Figures>>()
  for (const each of CASES) {
    const figures: Partial<Record<Side, Figures>> = {}
    for (const side of SIDES) {
      tell(`${each.name}, ${side}`)
      figures[side] = await measureCase(app, each, side, plan)
    }
    results.set(each, figures as BothSides<Figures>)
  }
  return results
}

/** The table of users answers nobody for `hangFor` milliseconds, from before the first request comes. */
export async function measureHung(
  app: StartedApp,
  plan: Plan,
  hangFor: number,
  tell: (what: string) => void,
): Promise<BothSides<Hung>> {
  const results: Partial<Record<Side, Hung>> = {}
  for (const side of SIDES) {
    tell(`a table that hangs for ${hangFor / 1_000} s, ${side}`)
    await app.order({ queryDelay: plan.delay })
    const outcomes = await withClients(app, side, plan, async (clients) => {
      await app.order({ queryDelay: plan.delay, hangTable: 'auth_users', hangFor })
      return clients.post(plan.requests, (index) => ({ url: `${app.url}${PATHS[side]}`, body: anybody(index) }))
    })
    await app.order({})
    const statuses: Record<number, number> = {}
    for (const { status } of outcomes) statuses[status] = (statuses[status] ?? 0) + 1
    results[side] = { statuses, p50: percentile(outcomes, 0.5), slowest: percentile(outcomes, 1) }
  }
  return results as BothSides<Hung>
}

async function measureCase(app: StartedApp, each: Case, side: Side, plan: Plan): Promise<Figures> {
  const url = `${app.url}${PATHS[side]}`
  await app.order({ queryDelay: plan.delay })
  const outcomes = await withClients(app, side, plan, (clients) =>
    clients.post(plan.requests, (index) => ({ url, body: each.identity(index) })),
  )
  expectAnswered(each.name, side, outcomes)
  await app.order({})
  return {
    queries: await countQueries(app, each, side),
    p50: percentile(outcomes, 0.5),
    p99: percentile(outcomes, 0.99),
  }
}

/** One request of each kind alone, on connections that are open by now. */
async function countQueries(app: StartedApp, each: Case, side: Side): Promise<readonly [number, number]> {
  const single = new Clients(1)
  const counts: number[] = []
  for (const identity of each.kinds) {
    const before = await app.queries()
    const outcomes = await single.post(1, () => ({ url: `${app.url}${PATHS[side]}`, body: identity() }))
    expectAnswered(each.name, side, outcomes)
    counts.push((await app.queries()) - before)
  }
  single.end()
  return [Math.min(...counts), Math.max(...counts)]
}

/** Connections to the app, and those of the app to its database, are opened before, as that takes queries and time of its own. */
async function withClients<T>(
  app: StartedApp,
  side: Side,
  plan: Plan,
  work: (clients: Clients) => Promise<T>,
): Promise<T> {
  const clients = new Clients(plan.atOnce)
  try {
    const outcomes = await clients.post(3 * plan.atOnce, (index) => ({
      url: `${app.url}${PATHS[side]}`,
      body: anybody(index),
    }))
    expectAnswered('warming up', side, outcomes)
    return await work(clients)
  } finally {
    clients.end()
  }
}

/** @throws Error unless every request was answered with success */
function expectAnswered(what: string, side: Side, outcomes: readonly Outcome[]): void {
  const failed = outcomes.filter(({ status }) => status !== 200)
  if (failed.length === 0) return
  const statuses = [...new Set(failed.map(({ status }) => status))].join(', ')
  throw new Error(`${what}, ${side}: ${failed.length} of ${outcomes.length} requests failed (${statuses})`)
}
