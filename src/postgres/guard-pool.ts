import { DatabaseTimeoutError } from '../database/query-errors.ts'
import { currentOperation } from '../database/query-timeout.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { countQuery, withPendingCount } from '../query-insight/count-query.ts'
import { shortenSql } from '../query-insight/sql-text.ts'
import { callWithin, currentParent } from '../resilience/wait-scope.ts'
import { Borrow, capturePlace } from './borrow.ts'
import { textOf, valuesOf } from './client-query.ts'
import {
  type ConnectCallback,
  isSubmittable,
  type PgPool,
  type QueryCallback,
  type RawPool,
  type Submittable,
} from './pg-shape.ts'
import { tellConsole } from './pool-events.ts'
import { PoolGuard } from './pool-guard.ts'
import type { PoolHealth } from './pool-health.ts'
import { type GuardOptions, readOptions } from './pool-options.ts'

/** Milliseconds; a timer of the platform goes no further. To the pool, 0 is without limit. */
const LONGEST_LIFETIME = 2 ** 31 - 1

/** On the pool itself, so that a second copy of this package finds it. */
const GUARD = Symbol.for('punctual.pool-guard')
type Holder = { [GUARD]?: PoolGuard }

/**
 * Guards a `pg.Pool`, in place: what is returned is the pool that was given. It is used as before, also by what is built on it, such as Kysely. From now
 * on waiting for a connection (5 s), connecting (10 s) and each query (30 s) have limits, each cut to what is left of the request; a query that
 * runs out, or that nobody waits for any more, is cancelled on the server.
 *
 * `connectionTimeoutMillis` and `query_timeout` of the pool become limits of the guard: as `pg` does them, they give a query up without ending it.
 *
 * @throws {InvalidOptionError} for an option that is not allowed, and for a pool that pipelines.
 * @throws {UsageError} for a pool that is guarded already.
 */
export function guardPool<Pool extends PgPool>(name: string, pool: Pool, options: GuardOptions = {}): Pool {
  const raw = pool as unknown as RawPool & Holder
  if (raw[GUARD] !== undefined) {
    throw new UsageError(
      `guardPool: this pool is guarded already, as "${raw[GUARD].settings.name}"; guard it once, where it is made`,
      { details: { problem: 'guarded-already', pool: raw[GUARD].settings.name } },
    )
  }
  const settings = readOptions(name, options, raw.options, tellConsole)
  raw.options.connectionTimeoutMillis = 0
  raw.options.query_timeout = 0
  raw.options.maxLifetimeSeconds = settings.maxLifetime > LONGEST_LIFETIME ? 0 : settings.maxLifetime / 1_000
  const guard = new PoolGuard(raw, settings)
  const { query: rawQuery, end: rawEnd } = raw
  Object.defineProperty(raw, GUARD, { value: guard })
  Object.defineProperty(raw, 'waitingCount', { configurable: true, get: () => guard.waiting })

  const connect = (callback?: ConnectCallback): unknown => {
    const borrow = new Borrow(currentOperation()?.name ?? null, capturePlace(connect))
    const client = guard.acquire(borrow).then(
      (guarded) => guarded.client,
      (error: unknown) => retrace(error),
    )
    if (callback === undefined) return client
    client.then(
      (found) => process.nextTick(callback, undefined, found, found.release),
      (error: Error) => process.nextTick(callback, error, undefined, () => {}),
    )
    return undefined
  }
  const query = (...args: unknown[]): unknown => {
    const [config, values, third] = args
    // What cannot be a query the pool refuses in its own words.
    if (config === undefined || config === null || typeof config === 'function') return rawQuery.apply(raw, args)
    const callback = (typeof values === 'function' ? values : third) as QueryCallback | undefined
    const answer = runOn(guard, config, typeof values === 'function' ? undefined : values)
    if (typeof callback !== 'function') return answer
    answer.then(
      (result) => process.nextTick(callback, null, result),
      (error: Error) => process.nextTick(callback, error),
    )
    return undefined
  }
  Object.assign(raw, {
    connect,
    query,
    end: (...args: unknown[]): unknown => {
      guard.end()
      return rawEnd.apply(raw, args)
    },
  })
  return pool
}

/**
 * The state of a guarded pool now.
 *
 * @throws {UsageError} when `guardPool` has not seen it.
 */
export function poolHealth(pool: PgPool): PoolHealth {
  const guard = (pool as Holder)[GUARD]
  if (guard === undefined)
    throw new UsageError('poolHealth: this pool is not guarded; call guardPool(pool, { name }) where it is made', {
      details: { problem: 'not-guarded' },
    })
  return guard.health()
}

/** `pool.query`: a connection for one query. Unlike the pool's own it keeps the connection when the query fails and nothing is wrong with it. */
async function runOn(guard: PoolGuard, config: unknown, values: unknown): Promise<unknown> {
  const around = currentParent()
  const borrow = new Borrow(currentOperation()?.name ?? null, () => shortenSql(textOf(config)))
  // Counted here, where the caller is still on the stack.
  const counted = countQuery(
    textOf(config),
    valuesOf(config, values),
    guard.settings.name,
    true,
    borrow.since,
    around.home,
  )
  const refusal = counted?.inTest?.refusal ?? null
  if (refusal !== null) {
    counted?.ended(0, true, borrow.since)
    throw refusal
  }
  const { client } = await guard.acquire(borrow).catch((error: unknown) => {
    counted?.ended(0, true, borrow.since)
    return retrace(error)
  })
  try {
    return await callWithin(around, () =>
      withPendingCount(counted, () =>
        isSubmittable(config) ? submit(client, config, values) : client.query(config, values),
      ),
    )
  } finally {
    client.release()
  }
}

function submit(client: { query(...args: unknown[]): unknown }, query: Submittable, values: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    query.callback ??= (error, result) => (error ? reject(error) : resolve(result))
    client.query(query, values)
  })
}

/** Made when a timer ran, the error shows nothing of who waited. */
function retrace(error: unknown): never {
  if (error instanceof DatabaseTimeoutError) Error.captureStackTrace(error, retrace)
  throw error
}
