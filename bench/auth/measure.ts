import { anyUser, type Case, casesOf, newUser, PATHS, SIDES, type Side, zipf, zipfUser } from './cases.ts'
import { Clients, type Outcome, type Post, percentile } from './clients.ts'
import type { StartedApp } from './started-app.ts'

/** Milliseconds between two requests of a client; 500 requests/s do not saturate the machine. */
const ZIPF_INTERVAL = 200

/** Result of one row on one side. */
export interface Figures {
  /** Minimum and maximum queries per request, counted between the app and its database. */
  readonly queries: readonly [least: number, most: number]
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

/** Cache hits without pauses between requests: the capacity of the machine. */
export interface Saturated {
  readonly perSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

export interface Cases {
  readonly rows: ReadonlyMap<Case, BothSides<Figures>>
  /** Of the row whose users are cached. */
  readonly saturated: Saturated
}

export interface ZipfResult {
  readonly users: number
  readonly requests: number
  /** As counted by the cache, from 0 to 1. */
  readonly hitRate: number
  /** Per request. */
  readonly queries: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

export interface LockedTable {
  /** Number of responses by status; 0 means no response. */
  readonly statuses: Readonly<Record<number, number>>
  /** Milliseconds. */
  readonly p50: number
  readonly slowest: number
}

export type BothSides<T> = Readonly<Record<Side, T>>

export interface Plan {
  readonly requests: number
  readonly concurrency: number
  /** Random delay of each query, in milliseconds. */
  readonly delay: readonly [least: number, most: number]
}

/**
 * Measures every case, before and after. Cached users send requests at the same rate on both sides:
 * without pauses the figure would be the capacity of the machine, which is reported separately.
 */
export async function measureCases(app: StartedApp, plan: Plan, logProgress: (what: string) => void): Promise<Cases> {
  const sides = { before: casesOf(), after: casesOf() }
  const rows = new Map<Case, BothSides<Figures>>()
  let saturated: Saturated | undefined
  for (const [row, after] of sides.after.entries()) {
    logProgress(`${after.name}, before`)
    const before = await measureCase(app, sides.before[row] ?? after, 'before', plan)
    logProgress(`${after.name}, after`)
    const improved = await measureCase(app, after, 'after', plan, after.isCached ? before.p50 : 0)
    rows.set(after, { before, after: improved })
    if (after.isCached) {
      logProgress(`${after.name}, after, without pauses`)
      saturated = await measureSaturated(app, after, plan)
    }
  }
  if (saturated === undefined) throw new Error('no case has cached users')
  return { rows, saturated }
}

/**
 * Measures the hit rate of a cache that is empty at the start. It sends ten times the requests of a
 * case, because the cache has to fill.
 */
export async function measureZipf(app: StartedApp, plan: Plan): Promise<ZipfResult> {
  const requests = 10 * plan.requests
  const users = plan.requests
  const url = `${app.url}${PATHS.after}`
  await app.quiet()
  const clients = new Clients(plan.concurrency)
  try {
    expectSuccess('sign-up', 'after', await clients.post(users, (index) => ({ url, body: zipfUser(index) })))
    // Turning the cache off and on empties it.
    await app.command('set', 'cache.auth:privy_id.ttl', '0s')
    await app.command('unset', 'cache.auth:privy_id.ttl')
    await app.order({ queryDelay: plan.delay })
    const next = zipf(users, Math.random)
    const [had, hadQueries] = [await app.answers(), await app.queries()]
    const outcomes = await clients.post(requests, () => ({ url, body: next() }), ZIPF_INTERVAL)
    expectSuccess('Zipf measurement', 'after', outcomes)
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

/** Locks the users table for `hangFor` milliseconds, starting before the first request. */
export async function measureLockedTable(
  app: StartedApp,
  plan: Plan,
  hangFor: number,
  logProgress: (what: string) => void,
): Promise<BothSides<LockedTable>> {
  const results: Partial<Record<Side, LockedTable>> = {}
  for (const side of SIDES) {
    logProgress(`users table locked for ${hangFor / 1_000} s, ${side}`)
    await app.order({ queryDelay: plan.delay })
    const outcomes = await withClients(app, side, plan, async (clients) => {
      await app.order({ queryDelay: plan.delay, hangTable: 'auth_users', hangFor })
      return clients.post(plan.requests, (index) => ({ url: `${app.url}${PATHS[side]}`, body: anyUser(index) }))
    })
    await app.order({})
    const statuses: Record<number, number> = {}
    for (const { status } of outcomes) statuses[status] = (statuses[status] ?? 0) + 1
    results[side] = { statuses, p50: percentile(outcomes, 0.5), slowest: percentile(outcomes, 1) }
  }
  return results as BothSides<LockedTable>
}

/** @param interval minimum time between two requests of a client, in milliseconds */
async function measureCase(app: StartedApp, each: Case, side: Side, plan: Plan, interval = 0): Promise<Figures> {
  const url = `${app.url}${PATHS[side]}`
  await app.quiet()
  await app.order({ queryDelay: plan.delay })
  const outcomes = await withClients(app, side, plan, async (clients) => {
    const post = (index: number): Post => ({ url, body: each.identity(index) })
    if (each.isCached) expectSuccess(each.name, side, await clients.post(plan.requests, post))
    return clients.post(plan.requests, post, interval)
  })
  expectSuccess(each.name, side, outcomes)
  await app.order({})
  return {
    queries: await countQueries(app, each, side),
    p50: percentile(outcomes, 0.5),
    p99: percentile(outcomes, 0.99),
  }
}

async function measureSaturated(app: StartedApp, each: Case, plan: Plan): Promise<Saturated> {
  const url = `${app.url}${PATHS.after}`
  const clients = new Clients(plan.concurrency)
  const post = (index: number): Post => ({ url, body: each.identity(index) })
  try {
    expectSuccess(each.name, 'after', await clients.post(plan.requests, post))
    const from = performance.now()
    const outcomes = await clients.post(10 * plan.requests, post)
    const took = performance.now() - from
    expectSuccess(each.name, 'after', outcomes)
    return {
      perSecond: (1_000 * outcomes.length) / took,
      p50: percentile(outcomes, 0.5),
      p99: percentile(outcomes, 0.99),
    }
  } finally {
    clients.end()
  }
}

/** Counts the queries of one request of each kind, including those that run after the response. */
async function countQueries(app: StartedApp, each: Case, side: Side): Promise<readonly [number, number]> {
  await app.quiet()
  const single = new Clients(1)
  const counts: number[] = []
  for (const identity of each.kinds) {
    const body = identity()
    const ask = () => single.post(1, () => ({ url: `${app.url}${PATHS[side]}`, body }))
    if (each.isCached) expectSuccess(each.name, side, await ask())
    const before = await app.queries()
    expectSuccess(each.name, side, await ask())
    await app.quiet()
    counts.push((await app.queries()) - before)
  }
  single.end()
  return [Math.min(...counts), Math.max(...counts)]
}

/** Opens the connections to the app and to the database first; they cost queries and time. */
async function withClients<T>(
  app: StartedApp,
  side: Side,
  plan: Plan,
  work: (clients: Clients) => Promise<T>,
): Promise<T> {
  const clients = new Clients(plan.concurrency)
  try {
    const outcomes = await clients.post(3 * plan.concurrency, () => ({
      url: `${app.url}${PATHS[side]}`,
      body: newUser(),
    }))
    expectSuccess('warm-up', side, outcomes)
    return await work(clients)
  } finally {
    clients.end()
  }
}

/** @throws Error unless every response is a success */
function expectSuccess(what: string, side: Side, outcomes: readonly Outcome[]): void {
  const failed = outcomes.filter(({ status }) => status !== 200)
  if (failed.length === 0) return
  const statuses = [...new Set(failed.map(({ status }) => status))].join(', ')
  throw new Error(`${what}, ${side}: ${failed.length} of ${outcomes.length} requests failed (${statuses})`)
}
