import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import type { Readable } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { Kysely, PostgresDialect, type PostgresDialectConfig, sql } from 'kysely'
import pg from 'pg'
import { type GuardOptions, guardPool, poolHealth, QueryTimeoutError } from '../../../src/postgres/index.ts'
import { ClientDisconnectedError } from '../../../src/resilience/abort-reason.ts'
import { NO_DEADLINE } from '../../../src/resilience/clock.ts'
import { WaitScope } from '../../../src/resilience/wait-scope.ts'
import { until, within } from '../support/until.ts'
import { startPostgres, type TestServer } from './postgres.ts'

type CursorClass = NonNullable<PostgresDialectConfig['cursor']>
type StreamClass = new (text: string, values?: unknown[], config?: { batchSize?: number }) => Readable & pg.Submittable

const load = createRequire(import.meta.url)
const installed = (name: string): unknown => {
  try {
    return load(name)
  } catch {
    return undefined
  }
}
const Cursor = installed('pg-cursor') as CursorClass
const QueryStream = installed('pg-query-stream') as StreamClass
const skip =
  Cursor === undefined || QueryStream === undefined ? 'pg-cursor and pg-query-stream are not installed' : false

describe('cursors and streams', { skip }, () => {
  let server: TestServer
  before(async () => {
    server = await startPostgres()
  })
  after(() => server.stop())

  function poolOf(
    t: { after(run: () => Promise<void>): void },
    name: string,
    options: Partial<GuardOptions> = {},
  ): pg.Pool {
    const pool = guardPool(name, new pg.Pool({ ...server.options(name), max: 1 }), { onEvent: () => {}, ...options })
    t.after(() => within('the pool to end', pool.end()))
    return pool
  }
  const submit = <T>(client: pg.PoolClient, submittable: T): T => client.query(submittable as T & pg.Submittable)

  test('may take longer than queryTimeout while the server answers in time', async (t) => {
    const pool = poolOf(t, 'slow reader', { queryTimeout: '500ms' })
    const client = await pool.connect()
    const cursor = submit(
      client,
      new Cursor<{ n: number }>('select n, pg_sleep(0.01) from generate_series(1, 60) as n', []),
    )
    const rows: number[] = []
    for (;;) {
      const batch = await cursor.read(5)
      if (batch.length === 0) break
      rows.push(...batch.map(({ n }) => n))
      await new Promise((resolve) => setTimeout(resolve, rows.length === 5 ? 1_500 : 1))
    }
    assert.equal(rows.length, 60)
    await cursor.close()
    client.release()
    assert.deepEqual((await pool.query('select 1 as n')).rows, [{ n: 1 }])
    assert.equal(poolHealth(pool).counts.destroyed, 0)
  })

  test('time out when the server does not answer in time', async (t) => {
    const pool = poolOf(t, 'slow server', { queryTimeout: '120ms' })
    const client = await pool.connect()
    const cursor = submit(
      client,
      new Cursor('select n, pg_sleep(case n when 6 then 60 else 0 end) from generate_series(1, 10) as n', []),
    )
    assert.equal((await cursor.read(5)).length, 5)
    await assert.rejects(cursor.read(5), QueryTimeoutError)
    await until('the query to end', async () => (await server.running('slow server')).length === 0)
    client.release()
    assert.deepEqual((await pool.query('select 1 as n')).rows, [{ n: 1 }])
    assert.equal(poolHealth(pool).counts.destroyed, 0)
  })

  test('that are given up while open cost their connection, but not the pool', async (t) => {
    const pool = poolOf(t, 'open')
    const scope = new WaitScope(performance.now(), NO_DEADLINE)
    const client = await pool.connect()
    const cursor = scope.enter(() => submit(client, new Cursor('select n from generate_series(1, 10) as n', [])))
    assert.equal((await cursor.read(5)).length, 5)
    const reason = new ClientDisconnectedError()
    scope.abort(reason)
    await assert.rejects(cursor.read(5), (error) => error === reason)
    client.release()
    assert.deepEqual((await pool.query('select 1 as n')).rows, [{ n: 1 }])
  })

  test('of pg-query-stream run to the end, and time out with a QueryTimeoutError', async (t) => {
    const pool = poolOf(t, 'stream', { queryTimeout: '120ms' })
    const client = await pool.connect()
    const rows: unknown[] = []
    for await (const row of submit(client, new QueryStream('select n from generate_series(1, 250) as n')))
      rows.push(row)
    assert.equal(rows.length, 250)
    const failing = submit(client, new QueryStream('select pg_sleep(60)'))
    await assert.rejects(async () => {
      for await (const row of failing) assert.fail(String(row))
    }, QueryTimeoutError)
    client.release()
    assert.deepEqual((await pool.query('select 1 as n')).rows, [{ n: 1 }])
  })

  test('of Kysely stream to the end', async (t) => {
    const pool = poolOf(t, 'kysely')
    const db = new Kysely<Record<string, never>>({ dialect: new PostgresDialect({ pool, cursor: Cursor }) })
    const query = sql<{ n: number }>`select n from generate_series(1, 250) as n`.compile(db)
    let rows = 0
    for await (const _ of db.getExecutor().stream<{ n: number }>(query, 100)) rows += _.rows.length
    assert.equal(rows, 250)
    assert.deepEqual((await pool.query('select 1 as n')).rows, [{ n: 1 }])
  })
})
