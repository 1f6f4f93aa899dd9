import { anybody, type Case, casesOf, crowd, PATHS, SIDES, type Side, stranger, zipf } from './cases.ts'
import { Clients, type Outcome, type Post, percentile } from './clients.ts'
import type { StartedApp } from './started-app.ts'

/** Milliseconds from one request to the next of each in the crowd: 500 a second are not too many for the machine. */
const CROWD_EVERY = 200

/** What one row came to, on one side. */
export interface Figures {
  /** The least and the most queries of one request, counted between the app and its database. */
  readonly queries: readonly [least: number, most: number]
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

/** Clients who send the next request as soon as they have an answer, where nothing is waited for: what the machine can do. */
export interface Restless {
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

export interface Cases {
  readonly rows: ReadonlyMap<Case, BothSides<Figures>>
  /** Of the row whose users are remembered. */
  readonly restless: Restless
}

export interface Crowd {
  readonly users: number
  readonly requests: number
  /** By the cache's own count; 0 to 1. */
  readonly hitRate: number
  /** For each request. */
  readonly queries: number
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

/**
 * Every case, before and after. Where users are remembered, they return as often after as they did before: clients who never rest would show how many requests
 * a second the machine can do, which is told beside it.
 */
export async function measureCases(app: StartedApp, plan: Plan, tell: (what: string) => void): Promise<Cases> {
  const sides = { before: casesOf(), after: casesOf() }
  const rows = new Map<Case, BothSides<Figures>>()
  let restless: Restless | undefined
  for (const [row, after] of sides.after.entries()) {
    tell(`${after.name}, before`)
    const had = await measureCase(app, sides.before[row] ?? after, 'before', plan)
    tell(`${after.name}, after`)
    const has = await measureCase(app, after, 'after', plan, after.isRemembered ? had.p50 : 0)
    rows.set(after, { before: had, after: has })
    if (after.isRemembered) {
      tell(`${after.name}, after, without rest`)
      restless = await measureRestless(app, after, plan)
    }
  }
  if (restless === undefined) throw new Error('no case is remembered')
  return { rows, restless }
}

/** What a crowd finds in the cache, which is empty at first; `requests` are ten times those of a case, as it takes them to fill. */
export async function measureCrowd(app: StartedApp, plan: Plan): Promise<Crowd> {
  const requests = 10 * plan.requests
  const users = plan.requests
  const url = `${app.url}${PATHS.after}`
  await app.quiet()
  const clients = new Clients(plan.atOnce)
  try {
    expectAnswered('signing up', 'after', await clients.post(users, (index) => ({ url, body: crowd(index) })))
    // Nothing is remembered of anybody when it is switched on again.
    await app.command('set', 'cache.auth:privy_id.ttl', '0s')
    await app.command('unset', 'cache.auth:privy_id.ttl')
    await app.order({ queryDelay: plan.delay })
    const next = zipf(users, Math.random)
    const [had, hadQueries] = [await app.answers(), await app.queries()]
    const outcomes = await clients.post(requests, () => ({ url, body: next() }), CROWD_EVERY)
    expectAnswered('the crowd', 'after', outcomes)
    const queries = (await app.queries()) - hadQueries
    const answers = await app.answers(had.all + requests)
    return {
      users,
      requests,
      hitRate: (answers.hits - had.hits) / (answers.all - had.all),
      queries: queries / requests,
      p50: percentile(outcomes, 0.5),
      p99: percentile(outcomes, 0.99),
    }
  } finally {
    clients.end()
    await app.order({})
  }
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

/** @param every how often a client asks at most, in milliseconds */
async function measureCase(app: StartedApp, each: Case, side: Side, plan: Plan, every = 0): Promise<Figures> {
  const url = `${app.url}${PATHS[side]}`
  await app.quiet()
  await app.order({ queryDelay: plan.delay })
  const outcomes = await withClients(app, side, plan, async (clients) => {
    const post = (index: number): Post => ({ url, body: each.identity(index) })
    if (each.isRemembered) expectAnswered(each.name, side, await clients.post(plan.requests, post))
    return clients.post(plan.requests, post, every)
  })
  expectAnswered(each.name, side, outcomes)
  await app.order({})
  return {
    queries: await countQueries(app, each, side),
    p50: percentile(outcomes, 0.5),
    p99: percentile(outcomes, 0.99),
  }
}

async function measureRestless(app: StartedApp, each: Case, plan: Plan): Promise<Restless> {
  const url = `${app.url}${PATHS.after}`
  const clients = new Clients(plan.atOnce)
  const post = (index: number): Post => ({ url, body: each.identity(index) })
  try {
    expectAnswered(each.name, 'after', await clients.post(plan.requests, post))
    const from = performance.now()
    const outcomes = await clients.post(10 * plan.requests, post)
    const took = performance.now() - from
    expectAnswered(each.name, 'after', outcomes)
    return {
      perSecond: (1_000 * outcomes.length) / took,
      p50: percentile(outcomes, 0.5),
      p99: percentile(outcomes, 0.99),
    }
  } finally {
    clients.end()
  }
}

/** One request of each kind alone, on connections that are open by now, and what it leaves to be done after the answer. */
async function countQueries(app: StartedApp, each: Case, side: Side): Promise<readonly [number, number]> {
  await app.quiet()
  const single = new Clients(1)
  const counts: number[] = []
  for (const identity of each.kinds) {
    const body = identity()
    const ask = () => single.post(1, () => ({ url: `${app.url}${PATHS[side]}`, body }))
    if (each.isRemembered) expectAnswered(each.name, side, await ask())
    const before = await app.queries()
    expectAnswered(each.name, side, await ask())
    await app.quiet()
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
    const outcomes = await clients.post(3 * plan.atOnce, () => ({ url: `${app.url}${PATHS[side]}`, body: stranger() }))
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
