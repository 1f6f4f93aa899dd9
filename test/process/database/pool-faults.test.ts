import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import {
  AcquireTimeoutError,
  ConnectionLostError,
  ConnectTimeoutError,
  type GuardOptions,
  guardPool,
  type PoolEvent,
  poolHealth,
  QueryTimeoutError,
  withQueryTimeout,
} from '../../../src/postgres/index.ts'
import { freePort } from '../support/free-port.ts'
import { until, within } from '../support/until.ts'
import { startPostgres, type TestServer } from './postgres.ts'
import { type SilentProxy, startSilentProxy } from './silent-proxy.ts'

let server: TestServer
before(async () => {
  server = await startPostgres()
})
after(() => server.stop())

interface Guarded {
  readonly pool: pg.Pool
  readonly events: PoolEvent[]
}

type Context = { after(run: () => Promise<void>): void }

function poolOf(t: Context, name: string, options: Partial<GuardOptions> = {}, max = 3, port?: number): Guarded {
  const events: PoolEvent[] = []
  const pool = guardPool(name, new pg.Pool({ ...server.options(name, port), max }), {
    onEvent: (event) => events.push(event),
    ...options,
  })
  t.after(() => within('the pool to end', pool.end()))
  return { pool, events }
}

async function proxyOf(t: Context): Promise<SilentProxy> {
  const proxy = await startSilentProxy(server.port)
  t.after(() => proxy.close())
  return proxy
}

const isHealthy = (pool: pg.Pool): Promise<boolean> =>
  until('the pool to be healthy', async () => {
    await pool.query('select 1')
    const { level, active } = poolHealth(pool)
    return level === 'HEALTHY' && active === 0
  })

describe('a database that stops answering', () => {
  const limits = {
    queryTimeout: '150ms',
    cancelTimeout: '150ms',
    connectTimeout: '300ms',
    acquireTimeout: '300ms',
  } as const

  test('makes every query time out, and the pool recovers when it answers again', async (t) => {
    const proxy = await proxyOf(t)
    const { pool, events } = poolOf(t, 'silent', limits, 3, proxy.port)
    await until('three connections to be open', () =>
      Promise.all([1, 2, 3].map(() => pool.query('select 1'))).then(() => poolHealth(pool).total === 3),
    )
    const { destroyed } = poolHealth(pool).counts
    proxy.silence()
    const first = await Promise.allSettled([1, 2, 3].map(() => pool.query('select 1')))
    for (const outcome of first) {
      assert.ok(outcome.status === 'rejected' && outcome.reason instanceof QueryTimeoutError)
    }
    await until('the silent connections to be destroyed', () => poolHealth(pool).counts.destroyed === destroyed + 3)
    for (const event of events) {
      if (event.type === 'destroyed') assert.match(event.details.reason, /^cancel-(?:timed-out|in-doubt)$/)
    }
    const second = await Promise.allSettled([1, 2].map(() => pool.query('select 1')))
    for (const outcome of second) {
      assert.ok(outcome.status === 'rejected')
      assert.ok(
        outcome.reason instanceof ConnectTimeoutError || outcome.reason instanceof AcquireTimeoutError,
        String(outcome.reason),
      )
    }
    proxy.speak()
    await isHealthy(pool)
    await until('the server to have no session but those of the pool', async () => {
      return (await server.sessions('silent')) === poolHealth(pool).total
    })
  })

  test('and accepts no cancel request costs connections, and ends their statements by statement_timeout', async (t) => {
    const proxy = await proxyOf(t)
    const { pool } = poolOf(t, 'deaf', { queryTimeout: '200ms', cancelTimeout: '200ms' }, 1, proxy.port)
    await pool.query('select 1')
    proxy.refuse()
    await assert.rejects(pool.query('select pg_sleep(60)'), QueryTimeoutError)
    await until('the connection to be destroyed', () => poolHealth(pool).counts.destroyed === 1)
    await until('its statement to end', async () => (await server.running('deaf')).length === 0)
  })

  test('while a connection is opened fails with ConnectTimeoutError, without a server with ECONNREFUSED', async (t) => {
    const proxy = await proxyOf(t)
    proxy.silence()
    const { pool } = poolOf(t, 'opening', limits, 1, proxy.port)
    await assert.rejects(pool.query('select 1'), { name: 'ConnectTimeoutError', timeout: 300 })
    const { pool: nowhere } = poolOf(t, 'nowhere', {}, 1, await freePort())
    await assert.rejects(nowhere.query('select 1'), { code: 'ECONNREFUSED' })
  })
})

test('a server that restarts fails the queries in flight, and no later ones', async (t) => {
  const { pool, events } = poolOf(t, 'restart')
  await Promise.all([1, 2, 3].map(() => pool.query('select 1')))
  const idle = await pool.connect()
  const inFlight = pool.query('select pg_sleep(60)').catch((error: unknown) => error)
  await until('the query to run', async () => (await server.running('restart')).length === 1)
  await server.restart()
  const error = await inFlight
  assert.ok(error instanceof ConnectionLostError || (error as { code?: string }).code === '57P01', String(error))
  await until('the lent connection to be known as lost', async () => {
    return idle.query('select 1').then(
      () => false,
      (fault: unknown) => fault instanceof ConnectionLostError,
    )
  })
  idle.release()
  assert.ok(events.some(({ type }) => type === 'lost'))
  await isHealthy(pool)
  assert.equal(await server.sessions('restart'), poolHealth(pool).total)
})

describe('an exhausted pool', () => {
  test('times out, names the borrowers, and works again when connections are released', async (t) => {
    const { pool, events } = poolOf(t, 'dry', { acquireTimeout: '150ms', leakThreshold: '100ms' }, 2)
    async function forgetful(): Promise<pg.PoolClient> {
      return pool.connect()
    }
    const leaked = await Promise.all([forgetful(), withQueryTimeout('export', '1m', forgetful)])
    const error = await pool.query('select 1').catch((fault: unknown) => fault)
    assert.ok(error instanceof AcquireTimeoutError)
    assert.deepEqual([error.health.active, error.health.maximum, error.health.utilisation], [2, 2, 1])
    assert.match(error.health.oldestCheckout?.by ?? '', /^forgetful \(.*pool-faults\.test\.ts:\d+\)$/)
    assert.equal(poolHealth(pool).level, 'CRITICAL')
    const leaks = (): string[] => events.flatMap((event) => (event.type === 'leak' ? [event.details.borrower] : []))
    await until('the leaks to be reported', () => leaks().length === 2)
    assert.ok(leaks().some((borrower) => borrower.startsWith('export (forgetful ')))
    assert.ok(events.some(({ type, health }) => type === 'level' && health.level === 'CRITICAL' && health.active === 2))
    const waiting = pool.query('select 1')
    for (const client of leaked) client.release()
    await waiting
    await isHealthy(pool)
  })

  test('reclaims connections that are checked out for longer than reclaimTimeout', async (t) => {
    const { pool, events } = poolOf(t, 'reclaim', { reclaimTimeout: '100ms', acquireTimeout: '10s' }, 1)
    const leaked = await pool.connect()
    assert.deepEqual((await pool.query('select 1 as n')).rows, [{ n: 1 }])
    assert.ok(events.some(({ type }) => type === 'reclaimed'))
    await assert.rejects(leaked.query('select 1'), ConnectionLostError)
    leaked.release()
    await isHealthy(pool)
    await until('its session to end', async () => (await server.sessions('reclaim')) === 1)
  })

  test('serves callers in order, and counts those that wait', async (t) => {
    const { pool } = poolOf(t, 'order', {}, 1)
    const client = await pool.connect()
    const served: number[] = []
    const asked = [1, 2, 3].map(async (n) => {
      await pool.query('select 1')
      served.push(n)
    })
    assert.equal(pool.waitingCount, 3)
    client.release()
    await Promise.all(asked)
    assert.deepEqual(served, [1, 2, 3])
    assert.equal(pool.waitingCount, 0)
  })

  test('fails the callers that wait when it is ended', async (t) => {
    const events: PoolEvent[] = []
    const pool = guardPool('ended', new pg.Pool({ ...server.options('ended'), max: 1 }), {
      onEvent: (e) => events.push(e),
    })
    const client = await pool.connect()
    const waiting = assert.rejects(pool.query('select 1'), ConnectionLostError)
    const ended = pool.end()
    await waiting
    await assert.rejects(pool.query('select 1'), (error: Error) => error.constructor === Error)
    client.release()
    await ended
    t.after(async () => {
      assert.equal(await server.sessions('ended'), 0)
    })
  })
})

test('releasing a connection with an error during a query cancels the query on the server', async (t) => {
  const { pool } = poolOf(t, 'impatient', {}, 1)
  const client = await pool.connect()
  const query = assert.rejects(client.query('select pg_sleep(60)'), ConnectionLostError)
  await until('the query to run', async () => (await server.running('impatient')).length === 1)
  client.release(true)
  await query
  await until('the query to end', async () => (await server.sessions('impatient')) === 0)
  assert.deepEqual((await pool.query('select 1 as n')).rows, [{ n: 1 }])
})
