import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { type ConnectionShortage, guardPool, poolHealth } from '../../../src/postgres/index.ts'
import { startPostgres, type TestServer } from '../database/postgres.ts'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { until, within } from '../support/until.ts'

let postgres: TestServer

before(async () => {
  postgres = await startPostgres()
})
after(() => postgres.stop())

const files = {
  'app.mjs': `
import http from 'node:http'
import pg from '${import.meta.resolve('pg')}'
import { guardPool } from '${join(import.meta.dirname, '../../../src/postgres/index.ts')}'
const options = JSON.parse(process.env.DATABASE)
// The server has enough connections for each of them alone.
const pools = { main: 18, jobs: 5 }
for (const [name, max] of Object.entries(pools)) {
  // Logs the event as JSON.
  const onEvent = ({ type, details, message: msg }) => console.log(JSON.stringify({ type, details, msg }))
  const pool = guardPool(name, new pg.Pool({ ...options, max }), { onEvent })
  await pool.query('select 1')
}
http.createServer((request, response) => response.end('ok')).listen(process.env.PORT, process.env.HOST)
`,
}

describe('the connections of a server', () => {
  test('that are too few for all workers during a reload are reported once, with the arithmetic', async () => {
    await using server = await startServer({
      files,
      settings: { workers: 2 },
      env: { DATABASE: JSON.stringify(postgres.options('app')) },
    })
    const { details } = await server.log(({ type }) => type === 'connections')
    assert.deepEqual(details, {
      workers: 2,
      pools: [
        { name: 'main', max: 18 },
        { name: 'jobs', max: 5 },
      ],
      most: 80,
      reserved: 3,
      reloads: true,
      each: 23,
      needed: 46,
      peak: 92,
      available: 77,
      enough: 19,
    })
    assert.equal((await server.command('reload')).code, 0)
    assert.equal((await request(server.url)).body, 'ok')
    assert.equal(server.lines.filter(({ type }) => type === 'connections').length, 1)
  })

  test('are reported if one is missing for all pools of a process without reloads', async (t) => {
    const shortages: ConnectionShortage[] = []
    const open = (name: string, max: number): pg.Pool => {
      const pool = guardPool(name, new pg.Pool({ ...postgres.options(name), max }), {
        onEvent: (event) => {
          if (event.type === 'connections') shortages.push(event.details)
        },
      })
      t.after(() => within('the pool to end', pool.end()))
      return pool
    }
    await open('few', 77).query('select 1')
    const one = open('one', 1)
    // The check uses the same connection and does not disturb the queries.
    const answers = await Promise.all([1, 2, 3].map((n) => one.query('select $1::int as n', [n])))
    assert.deepEqual(
      answers.map(({ rows }) => rows[0].n),
      [1, 2, 3],
    )
    await until('the shortage to be reported', () => shortages.length > 0)
    const figures = shortages.map(({ workers, each, needed, peak, available }) => [
      workers,
      each,
      needed,
      peak,
      available,
    ])
    assert.deepEqual(figures, [[1, 78, 78, 78, 77]])
  })
})

describe('maxLifetime', () => {
  test('is 10 minutes by default, and can be set on the pool or the guard', async (t) => {
    const lifetime = (options: pg.PoolConfig, maxLifetime?: '1m' | 'unbounded'): unknown => {
      const pool = guardPool('x', new pg.Pool(options), { ...(maxLifetime === undefined ? {} : { maxLifetime }) })
      t.after(() => pool.end())
      return (pool.options as { maxLifetimeSeconds?: number }).maxLifetimeSeconds
    }
    assert.equal(lifetime({}), 600)
    assert.equal(lifetime({ maxLifetimeSeconds: 30 }), 30)
    assert.equal(lifetime({ maxLifetimeSeconds: 30 }, '1m'), 60)
    assert.equal(lifetime({}, 'unbounded'), 0)
    assert.throws(() => guardPool('x', new pg.Pool(), { maxLifetime: 0 }), {
      code: 'PUNCTUAL_INVALID_OPTION',
      details: { option: 'maxLifetime', given: 0 },
    })
  })

  test('closes a connection between two queries', async (t) => {
    const pool = guardPool('short', new pg.Pool({ ...postgres.options('short'), max: 1 }), {
      maxLifetime: '200ms',
      onEvent: () => {},
    })
    t.after(() => within('the pool to end', pool.end()))
    const backend = async (): Promise<number> => (await pool.query('select pg_backend_pid() as pid')).rows[0].pid
    const first = await backend()
    await until('another connection', async () => (await backend()) !== first)
    assert.equal(poolHealth(pool).counts.destroyed, 0)
  })
})
