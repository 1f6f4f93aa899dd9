import { DatabaseTimeoutError } from '../database/query-errors.ts'
import { currentOperation } from '../database/query-timeout.ts'
import { logEvent } from '../diagnostics/event-log.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { countQuery, withPendingCount } from '../query-insight/count-query.ts'
import { shortenSql } from '../query-insight/sql-text.ts'
import { callWithin, currentParent, currentScope } from '../resilience/wait-scope.ts'
import { Checkout, capturePlace } from './checkout.ts'
import { textOf, valuesOf } from './client-query.ts'
import { GuardedPool } from './guarded-pool.ts'
import {
  type ConnectCallback,
  isSubmittable,
  type PgPool,
  type QueryCallback,
  type RawPool,
  type Submittable,
} from './pg-types.ts'
import type { PoolHealth } from './pool-health.ts'
import { type GuardOptions, readOptions } from './pool-options.ts'

/** The longest timer of Node.js in milliseconds. For the pool, 0 means unbounded. */
const MAX_TIMER = 2 ** 31 - 1

/** A property of the pool itself, so that another copy of this package finds it. */
const GUARD = Symbol.for('punctual.pool-guard')
type Guardable = { [GUARD]?: GuardedPool }

/**
 * Adds timeouts, cancellation and health to a `pg.Pool`, in place, and returns the same pool.
 *
 * The pool and libraries on top of it, such as Kysely, are used as before. Waiting for a connection
 * (5 s), connecting (10 s) and each query (30 s) get timeouts within the deadline of the request. A
 * query that times out, or whose request ends, is cancelled on the server.
 *
 * `connectionTimeoutMillis` and `query_timeout` of the pool become timeouts of the guard, because
 * `pg` does not end a query that times out.
 *
 * @param name the name of the pool in errors, the log and metrics
 * @throws {InvalidOptionError} for an invalid option, or a pool with `pipeline: true`
 * @throws {UsageError} for a pool that is guarded already
 */
export function guardPool<Pool extends PgPool>(name: string, pool: Pool, options: GuardOptions = {}): Pool {
  const raw = pool as unknown as RawPool & Guardable
  if (raw[GUARD] !== undefined) {
    const guardedAs = raw[GUARD].settings.name
    throw new UsageError(
      `guardPool: the pool is already guarded as "${guardedAs}"; guard it once, where it is created`,
      {
        details: { problem: 'guarded-already', pool: guardedAs },
      },
    )
  }
  const settings = readOptions(name, options, raw.options, logEvent)
  raw.options.connectionTimeoutMillis = 0
  raw.options.query_timeout = 0
  raw.options.maxLifetimeSeconds = settings.maxLifetime > MAX_TIMER ? 0 : settings.maxLifetime / 1_000
  const guard = new GuardedPool(raw, settings)
  const { query: rawQuery, end: rawEnd } = raw
  Object.defineProperty(raw, GUARD, { value: guard })
  Object.defineProperty(raw, 'waitingCount', { configurable: true, get: () => guard.waiting })

  const connect = (callback?: ConnectCallback): unknown => {
    const checkout = new Checkout(currentOperation()?.name ?? null, capturePlace(connect), currentScope())
    const client = guard.acquire(checkout).then(
      (guarded) => guarded.client,
      (error: unknown) => rethrow(error),
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
    // The pool refuses invalid arguments itself.
    if (config === undefined || config === null || typeof config === 'function') return rawQuery.apply(raw, args)
    const callback = (typeof values === 'function' ? values : third) as QueryCallback | undefined
    const answer = queryPool(guard, config, typeof values === 'function' ? undefined : values)
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
 * Returns a snapshot of a guarded pool.
 *
 * @throws {UsageError} for a pool without `guardPool`
 */
export function poolHealth(pool: PgPool): PoolHealth {
  const guard = (pool as Guardable)[GUARD]
  if (guard !== undefined) return guard.health()
  throw new UsageError('poolHealth: the pool is not guarded; call guardPool(name, pool) where it is created', {
    details: { problem: 'not-guarded' },
  })
}

/**
 * Implements `pool.query`. Unlike in `pg`, a query that fails does not cost a healthy connection.
 */
async function queryPool(guard: GuardedPool, config: unknown, values: unknown): Promise<unknown> {
  const parent = currentParent()
  const text = textOf(config)
  const checkout = new Checkout(currentOperation()?.name ?? null, () => shortenSql(text))
  // Counted here, where the caller is still on the stack.
  const counted = countQuery(text, valuesOf(config, values), guard.settings.name, true, checkout.since, parent.home)
  const refusal = counted?.inTest?.refusal ?? null
  if (refusal !== null) {
    counted?.ended(0, true, checkout.since)
    throw refusal
  }
  const { client } = await guard.acquire(checkout).catch((error: unknown) => {
    counted?.ended(0, true, checkout.since)
    return rethrow(error)
  })
  try {
    return await callWithin(parent, () =>
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

/** Replaces the stack of a timeout error, created by a timer, with that of the caller. */
function rethrow(error: unknown): never {
  if (error instanceof DatabaseTimeoutError) Error.captureStackTrace(error, rethrow)
  throw error
}
