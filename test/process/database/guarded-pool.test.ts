import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import {
  type GuardOptions,
  guardPool,
  type PoolEvent,
  poolHealth,
  QueryTimeoutError,
  withQueryTimeout,
} from '../../../src/postgres/index.ts'
import { ClientDisconnectedError, isTimeout } from '../../../src/resilience/abort-reason.ts'
import { deadlineIn } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { WaitScope } from '../../../src/resilience/wait-scope.ts'
import { until, within } from '../support/until.ts'
import { startPostgres, type TestServer } from './postgres.ts'

let server: TestServer
let locker: pg.Client

before(async () => {
  server = await startPostgres()
  locker = await server.outsider()
  await locker.query('create table locked (id int primary key, name text)')
  await locker.query(`insert into locked values (1, 'one')`)
  await locker.query('create table open (id serial primary key, name text)')
  await locker.query(`insert into open (name) select 'row ' || n from generate_series(1, 500) as n`)
})
after(async () => {
  await locker.end()
  await server.stop()
})

/** A guarded pool that ends with the test. Its sessions have its name. */
function poolOf(
  t: { after(run: () => Promise<void>): void },
  name: string,
  options: Partial<GuardOptions> = {},
  max = 4,
): pg.Pool {
  const pool = guardPool(name, new pg.Pool({ ...server.options(name), max }), { onEvent: () => {}, ...options })
  t.after(() => within('the pool to end', pool.end()))
  return pool
}

/** Whether an error is one of the driver: its class is `Error`, and it has no code. */
const isOfDriver = (error: unknown): boolean => error instanceof Error && error.constructor === Error

async function whileLocked(run: () => Promise<void>): Promise<void> {
  await locker.query('begin; lock table locked in access exclusive mode')
  try {
    await run()
  } finally {
    await locker.query('rollback')
  }
}

const nothingRuns = (name: string): Promise<boolean> =>
  until(`no statement of ${name} to run`, async () => (await server.running(name)).length === 0)

/**
 * Asserts that no caller waits, no connection is checked out, and each query gets its own answer.
 */
async function isClean(pool: pg.Pool): Promise<void> {
  // A connection that is still being opened becomes idle a little later.
  await until('the pool to have everything back', () => {
    const { active, idle, total } = poolHealth(pool)
    return active === 0 && idle === total
  })
  const { level, total, waiting, maximum } = poolHealth(pool)
  assert.equal(level, 'HEALTHY')
  assert.equal(waiting, 0)
  assert.ok(total <= maximum)
  const answers = await Promise.all([1, 2, 3, 4].map((n) => pool.query('select $1::int as n', [n])))
  assert.deepEqual(
    answers.map(({ rows }) => rows[0].n),
    [1, 2, 3, 4],
  )
}

describe('queries', () => {
  test('work as in pg: promises, callbacks, values, query objects and submittables', async (t) => {
    const pool = poolOf(t, 'ways')
    assert.deepEqual((await pool.query('select 1 as n')).rows, [{ n: 1 }])
    assert.deepEqual((await pool.query('select $1::int as n', [2])).rows, [{ n: 2 }])
    const object = { name: 'three', text: 'select $1::int as n', values: [3], rowMode: 'array' as const }
    for (const _ of [1, 2]) assert.deepEqual((await pool.query(object)).rows, [[3]])
    assert.deepEqual(Object.keys(object), ['name', 'text', 'values', 'rowMode'])
    const byCallback = await new Promise<pg.QueryResult>((resolve, reject) => {
      pool.query('select $1::int as n', [4], (error, result) => (error ? reject(error) : resolve(result)))
    })
    assert.deepEqual(byCallback.rows, [{ n: 4 }])
    const failed = await new Promise<Error & { code?: string }>((resolve) => {
      pool.query('select nonsense', (error) => resolve(error))
    })
    assert.equal(failed.code, '42703')

    const client = await pool.connect()
    const rows: unknown[] = []
    const query = client.query(new pg.Query('select n from generate_series(1, 3) as n'))
    query.on('row', (row) => rows.push(row.n))
    await new Promise((resolve) => query.on('end', resolve))
    assert.deepEqual(rows, [1, 2, 3])
    // @ts-expect-error: the driver refuses undefined.
    assert.throws(() => client.query(undefined), TypeError)
    await assert.rejects(client.query({ text: 'select 1', values: 'not an array' as unknown as unknown[] }), isOfDriver)
    const order = await Promise.all([
      client.query('select 1 as n'),
      client.query('select 2 as n'),
      client.query('select 3 as n'),
    ])
    assert.deepEqual(
      order.map((result) => result.rows[0].n),
      [1, 2, 3],
    )
    client.release()
    assert.throws(() => client.release(), isOfDriver)

    await new Promise<void>((resolve, reject) => {
      pool.connect((error, lent, release) => {
        if (error !== undefined || lent === undefined) return reject(error)
        lent.query('select 5 as n', (fault, result) => {
          release()
          if (fault) reject(fault)
          else resolve(assert.deepEqual(result.rows, [{ n: 5 }]))
        })
      })
    })
    await isClean(pool)
  })

  test('that fail keep their connection', async (t) => {
    const pool = poolOf(t, 'keeps', {}, 1)
    const pid = async (): Promise<unknown> => (await pool.query('select pg_backend_pid() as pid')).rows[0].pid
    const first = await pid()
    await assert.rejects(pool.query('select 1/0'), { code: '22012' })
    await assert.rejects(pool.query('select $1::int', ['x']), { code: '22P02' })
    assert.equal(await pid(), first)
  })

  test('invalid options, pools without a name and pools that are guarded twice are refused', (t) => {
    const guard = (options: object): unknown => guardPool('bad', new pg.Pool(), { ...options })
    const invalid = (option: string, given: unknown): object => ({
      code: 'PUNCTUAL_INVALID_OPTION',
      details: { option, given },
    })
    assert.throws(() => guard({ queryTimeout: 'soon' }), invalid('queryTimeout', 'soon'))
    assert.throws(() => guard({ queryTimeout: 0 }), invalid('queryTimeout', 0))
    assert.throws(() => guardPool('', new pg.Pool()), invalid('name', ''))
    assert.throws(() => guard({ statementTimeout: 'maybe' }), invalid('statementTimeout', 'maybe'))
    const pipelined = new pg.Pool({ pipeline: true } as pg.PoolConfig)
    assert.throws(() => guardPool('p', pipelined), invalid('pipeline', true))
    assert.throws(() => guardPool('again', poolOf(t, 'twice')), {
      code: 'PUNCTUAL_USAGE',
      details: { problem: 'guarded-already', pool: 'twice' },
    })
    assert.throws(() => poolHealth(new pg.Pool()), { code: 'PUNCTUAL_USAGE', details: { problem: 'not-guarded' } })
    assert.throws(() => withQueryTimeout('x', 'soon' as '1s', () => 0), invalid('timeout', 'soon'))
  })
})

describe('a query that times out', () => {
  test('rejects with pool, timeout and statement, and is cancelled on the server', async (t) => {
    const pool = poolOf(t, 'locked', { queryTimeout: '150ms' })
    await whileLocked(async () => {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 20 }, () => pool.query(`select * from locked where name = 'secret' and id = $1`, [7])),
      )
      for (const outcome of outcomes) {
        assert.equal(outcome.status, 'rejected')
        assert.ok(outcome.reason instanceof QueryTimeoutError, String(outcome.reason))
        assert.ok(isTimeout(outcome.reason))
        assert.equal(outcome.reason.code, 'PUNCTUAL_WAIT_TIMEOUT')
        assert.equal(outcome.reason.timeout, 150)
        assert.equal(outcome.reason.pool, 'locked')
        assert.equal(outcome.reason.sql, 'select * from locked where name = ? and id = $1')
        assert.match(outcome.reason.stack ?? '', /guarded-pool\.test\.ts/)
      }
      await nothingRuns('locked')
      await isClean(pool)
      assert.equal(poolHealth(pool).counts.timedOut, 20)
      assert.equal(poolHealth(pool).counts.destroyed, 0)
    })
    assert.equal((await pool.query('select * from locked')).rowCount, 1)
  })

  test('calls its callback with the error', async (t) => {
    const pool = poolOf(t, 'callback', { queryTimeout: '100ms' })
    const error = await new Promise((resolve) => {
      pool.query('select pg_sleep(20)', resolve)
    })
    assert.ok(error instanceof QueryTimeoutError)
    await nothingRuns('callback')
    await isClean(pool)
  })

  test('leaves its connection ready for the next query', async (t) => {
    const pool = poolOf(t, 'kept', { queryTimeout: '100ms' }, 1)
    const client = await pool.connect()
    await assert.rejects(client.query('select pg_sleep(20)'), QueryTimeoutError)
    assert.deepEqual((await client.query('select 1 as n')).rows, [{ n: 1 }])
    client.release()
    await isClean(pool)
    assert.equal(poolHealth(pool).counts.destroyed, 0)
  })

  test('counts its time in the queue of its connection', async (t) => {
    const pool = poolOf(t, 'behind', {}, 1)
    const client = await pool.connect()
    const first = client.query('select pg_sleep(0.3)')
    const second = withQueryTimeout('impatient', '50ms', () => client.query('select 2'))
    await assert.rejects(second, { name: 'QueryTimeoutError', operation: 'impatient', timedOutBy: 'operation' })
    await first
    client.release()
    assert.equal(poolHealth(pool).counts.cancels, 0)
    await isClean(pool)
  })

  test('by statement_timeout of the database rejects with the same error', async (t) => {
    const pool = poolOf(t, 'server', {}, 1)
    const client = await pool.connect()
    await client.query(`set statement_timeout = '50ms'`)
    await assert.rejects(client.query('select pg_sleep(20)'), { name: 'QueryTimeoutError', timedOutBy: 'server' })
    client.release(true)
  })

  test('as a submittable emits the same error', async (t) => {
    const pool = poolOf(t, 'submitted', { queryTimeout: '100ms' }, 1)
    const client = await pool.connect()
    const query = client.query(new pg.Query('select pg_sleep(20)'))
    const error = await new Promise((resolve) => query.on('error', resolve))
    assert.ok(error instanceof QueryTimeoutError, String(error))
    assert.deepEqual((await client.query('select 1 as n')).rows, [{ n: 1 }])
    client.release()
    await isClean(pool)
  })

  test('is cancelled even when it times out while it is being sent', async (t) => {
    const pool = poolOf(t, 'early', {}, 1)
    for (let round = 0; round < 5; round++) {
      await assert.rejects(
        withQueryTimeout('early', 3, () => pool.query('select pg_sleep(20)')),
        isTimeout,
      )
    }
    await nothingRuns('early')
    await isClean(pool)
  })
})

describe('withQueryTimeout', () => {
  test('has one timeout for all its queries, and the pool keeps its own for others', async (t) => {
    const pool = poolOf(t, 'named', { queryTimeout: '10s' })
    const asked: string[] = []
    const error = await withQueryTimeout('auth', '400ms', async () => {
      for (;;) {
        await pool.query('select pg_sleep(0.15)')
        asked.push('one')
      }
    }).catch((fault: unknown) => fault)
    assert.ok(error instanceof QueryTimeoutError)
    assert.equal(error.operation, 'auth')
    assert.ok(asked.length <= 2, `${asked.length} queries of 150 ms in 400 ms`)
    await withQueryTimeout('auth', '20s', () =>
      assert.rejects(
        withQueryTimeout('user look-up', '50ms', () => pool.query('select pg_sleep(20)')),
        { operation: 'user look-up' },
      ),
    )
    await isClean(pool)
  })

  test('raises statement_timeout for a longer operation, and restores it', async (t) => {
    const pool = poolOf(t, 'own limit', { queryTimeout: '10s' }, 1)
    const show = async (): Promise<unknown> => (await pool.query('show statement_timeout')).rows[0].statement_timeout
    assert.equal(await show(), '11s')
    assert.equal(await withQueryTimeout('report', '2m', show), '121s')
    assert.equal(await show(), '11s')
    assert.equal(await withQueryTimeout('nightly', 'unbounded', show), '0')
    const client = await pool.connect()
    await client.query('begin')
    const { rows } = await withQueryTimeout('report', '1m', () => client.query('show statement_timeout'))
    // In a transaction each query sets the remaining time: `61s`, or e.g. `60993ms` a moment later.
    assert.match(rows[0].statement_timeout, /^(?:61s|60\d{3}ms)$/)
    await client.query('rollback')
    client.release()
    assert.equal(await show(), '11s')
  })
})

describe('a request', () => {
  const request = (limit: number): WaitScope => new WaitScope(performance.now(), deadlineIn(ms(limit)))

  test('whose client disconnects cancels its query, which does not count as a timeout', async (t) => {
    const pool = poolOf(t, 'gone')
    const scope = request(60_000)
    const answer = scope.enter(() => pool.query('select pg_sleep(20)'))
    await until('the query to run', async () => (await server.running('gone')).length === 1)
    const reason = new ClientDisconnectedError()
    scope.abort(reason)
    await assert.rejects(answer, (error) => error === reason)
    await nothingRuns('gone')
    const { timedOut: expired, aborted } = poolHealth(pool).counts
    assert.deepEqual({ expired, aborted }, { expired: 0, aborted: 1 })
    await isClean(pool)
    assert.deepEqual([...scope.waits.recorded].map(({ outcome }) => outcome).at(-1), 'aborted')
    assert.equal(scope.waits.recorded.at(-1)?.name, 'pool gone: select pg_sleep(?)')
  })

  test('that was given up cannot commit the transaction it had open, and its rollback runs', async (t) => {
    const pool = poolOf(t, 'over', {}, 1)
    const scope = request(60_000)
    const client = await scope.enter(() => pool.connect())
    await scope.enter(() => client.query('begin'))
    await scope.enter(() => client.query(`insert into open (name) values ('never')`))
    scope.abort(new ClientDisconnectedError())
    await assert.rejects(
      scope.enter(() => client.query('commit')),
      ClientDisconnectedError,
    )
    await scope.enter(() => client.query('rollback'))
    client.release()
    assert.equal((await pool.query(`select 1 from open where name = 'never'`)).rowCount, 0)
    assert.equal(poolHealth(pool).counts.destroyed, 0)
  })

  test('limits the timeout of a query to its remaining time', async (t) => {
    const pool = poolOf(t, 'deadline')
    const error = await request(200)
      .enter(() => pool.query('select pg_sleep(20)'))
      .catch((fault: unknown) => fault)
    assert.ok(error instanceof QueryTimeoutError)
    assert.equal(error.because, 'deadline')
    assert.ok(error.timeout <= 200)
    await nothingRuns('deadline')
  })
})

describe('a transaction', () => {
  test('in which a query timed out cannot be committed', async (t) => {
    const pool = poolOf(t, 'failed', {}, 1)
    const client = await pool.connect()
    await client.query('begin')
    await client.query(`insert into open (name) values ('lost')`)
    await assert.rejects(
      withQueryTimeout('slow', '50ms', () => client.query('select pg_sleep(20)')),
      QueryTimeoutError,
    )
    await assert.rejects(client.query('select 1'), { code: '25P02' })
    assert.equal((await client.query('commit')).command, 'ROLLBACK')
    client.release()
    assert.equal((await pool.query(`select 1 from open where name = 'lost'`)).rowCount, 0)
  })

  test('in which a query timed out before it was sent cannot be committed', async (t) => {
    const pool = poolOf(t, 'unsent', {}, 1)
    const client = await pool.connect()
    await client.query('begin')
    const first = client
      .query(`insert into open (name) values ('half')`)
      .then(() => client.query('select pg_sleep(0.3)'))
    await until('the transaction to be busy', async () => (await server.running('unsent')).length === 1)
    await assert.rejects(
      withQueryTimeout('impatient', '50ms', () => client.query(`insert into open (name) values ('other half')`)),
      QueryTimeoutError,
    )
    await first
    assert.equal((await client.query('commit')).command, 'ROLLBACK')
    await client.query('begin')
    assert.equal((await client.query('commit')).command, 'COMMIT')
    client.release()
    assert.equal((await pool.query(`select 1 from open where name like '%half'`)).rowCount, 0)
  })

  test('that its borrower leaves open is rolled back before the next checkout', async (t) => {
    const borrowers: string[] = []
    const onEvent = (event: PoolEvent): void => {
      if (event.type === 'rolled-back') borrowers.push(event.details.borrower)
    }
    const pool = poolOf(t, 'left open', { onEvent }, 1)
    const client = await pool.connect()
    await client.query('begin')
    await client.query(`insert into open (name) values ('forgotten')`)
    client.release()
    const { rows } = await pool.query(
      `select (select count(*)::int from open where name = 'forgotten') as n, pg_current_xact_id_if_assigned() as x`,
    )
    assert.deepEqual(rows, [{ n: 0, x: null }])
    assert.equal(borrowers.length, 1)
    assert.match(borrowers[0] ?? '', /guarded-pool\.test\.ts:\d+/)
  })

  test('of Kysely commits, and rolls back after a timeout', async (t) => {
    const pool = poolOf(t, 'kysely', {}, 2)
    const db = new Kysely<{ open: { id: number; name: string }; locked: { id: number; name: string } }>({
      dialect: new PostgresDialect({ pool }),
    })
    assert.equal((await db.selectFrom('open').selectAll().where('id', '<=', 3).execute()).length, 3)
    await db.transaction().execute(async (trx) => {
      await trx.updateTable('open').set({ name: 'changed' }).where('id', '=', 1).execute()
    })
    await whileLocked(async () => {
      const work = db.transaction().execute(async (trx) => {
        await trx.updateTable('open').set({ name: 'undone' }).where('id', '=', 1).execute()
        await withQueryTimeout('locked', '80ms', () => trx.selectFrom('locked').selectAll().execute())
      })
      await assert.rejects(work, QueryTimeoutError)
      await nothingRuns('kysely')
    })
    const row = await db.selectFrom('open').select('name').where('id', '=', 1).executeTakeFirstOrThrow()
    assert.equal(row.name, 'changed')
    assert.deepEqual((await sql<{ n: number }>`select 1 as n`.execute(db)).rows, [{ n: 1 }])
    await isClean(pool)
    assert.equal(poolHealth(pool).counts.destroyed, 0)
  })
})
