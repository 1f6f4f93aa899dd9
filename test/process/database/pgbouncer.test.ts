import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import {
  guardPool,
  type PoolEvent,
  poolHealth,
  QueryTimeoutError,
  withQueryTimeout,
} from '../../../src/postgres/index.ts'
import { until, within } from '../support/until.ts'
import { type Bouncer, hasBouncer, startBouncer } from './pgbouncer.ts'
import { startPostgres, type TestServer } from './postgres.ts'

const SERVER_CONNECTIONS = 3

describe('behind PgBouncer in transaction mode', { skip: hasBouncer() ? false : 'pgbouncer is not installed' }, () => {
  let server: TestServer
  let bouncer: Bouncer
  before(async () => {
    server = await startPostgres()
    bouncer = await startBouncer(server, SERVER_CONNECTIONS)
  })
  after(async () => {
    await bouncer.stop()
    await server.stop()
  })

  function poolOf(
    t: { after(run: () => Promise<void>): void },
    name: string,
    max: number,
  ): { pool: pg.Pool; events: PoolEvent[] } {
    const events: PoolEvent[] = []
    const pool = guardPool(name, new pg.Pool({ ...server.options(name, bouncer.port), max }), {
      queryTimeout: '20s',
      onEvent: (event) => events.push(event),
    })
    t.after(() => within('the pool to end', pool.end()))
    return { pool, events }
  }

  /**
   * All running statements. The name of a session is that of its last client, so it identifies
   * nothing.
   */
  const runningSleeps = async (): Promise<number> => {
    const client = await server.outsider()
    try {
      const { rows } = await client.query(
        `select 1 from pg_stat_activity where state = 'active' and query like '%pg_sleep%' and pid <> pg_backend_pid()`,
      )
      return rows.length
    } finally {
      await client.end()
    }
  }

  test('a query that times out is cancelled, and no other one', async (t) => {
    const { pool } = poolOf(t, 'cancel', 6)
    const innocent = Array.from({ length: 2 }, () => pool.query('select pg_sleep(0.4), 1 as n'))
    await until('the others to run', async () => (await runningSleeps()) === 2)
    await assert.rejects(
      withQueryTimeout('doomed', '100ms', () => pool.query('select pg_sleep(20)')),
      QueryTimeoutError,
    )
    for (const answer of await Promise.all(innocent)) assert.equal(answer.rows[0].n, 1)
    await until('nothing to run', async () => (await runningSleeps()) === 0)
    await until('the pool to have everything back', () => poolHealth(pool).active === 0)
    assert.equal(poolHealth(pool).counts.destroyed, 0)
    assert.equal(poolHealth(pool).level, 'HEALTHY')
  })

  test('the timeout is set in each transaction and does not change the sessions of other clients', async (t) => {
    const { pool, events } = poolOf(t, 'limit', 2)
    const show = async (client: { query(text: string): Promise<pg.QueryResult> }): Promise<unknown> =>
      (await client.query('show statement_timeout')).rows[0].statement_timeout
    const client = await pool.connect()
    assert.equal(await show(client), '0')
    await client.query('begin')
    assert.equal(await show(client), '21s')
    await client.query('commit')
    assert.equal(await show(client), '0')
    client.release()
    const warnings = events.filter(({ type }) => type === 'no-statement-timeout')
    assert.deepEqual(
      warnings.map(({ details }) => details),
      [{ statementTimeout: '21s' }],
    )
  })

  test('a transaction in which a query timed out is rolled back', async (t) => {
    const { pool } = poolOf(t, 'transaction', 2)
    await pool.query('create table if not exists kept (n int)')
    const client = await pool.connect()
    await client.query('begin')
    await client.query('insert into kept values (1)')
    await assert.rejects(
      withQueryTimeout('doomed', '60ms', () => client.query('select pg_sleep(20)')),
      QueryTimeoutError,
    )
    client.release()
    assert.equal((await pool.query('select 1 from kept')).rowCount, 0)
    await until('the pool to have everything back', () => poolHealth(pool).active === 0)
  })

  test('none of 100 cancels at random times hits another query', async (t) => {
    const { pool } = poolOf(t, 'fuzz', 6)
    let cancelled = 0
    const worker = async (): Promise<void> => {
      while (cancelled < 100) {
        await withQueryTimeout('doomed', 0.1 + Math.random() * 12, () =>
          pool.query('select pg_sleep($1)', [Math.random() * 0.012]),
        ).catch(() => {
          cancelled++
        })
        assert.equal((await pool.query('select $1::int as n', [cancelled])).rowCount, 1)
      }
    }
    await Promise.all(Array.from({ length: 6 }, worker))
    await until('the pool to have everything back', () => poolHealth(pool).active === 0)
    assert.equal(poolHealth(pool).counts.destroyed, 0)
    assert.equal(poolHealth(pool).level, 'HEALTHY')
  })
})
