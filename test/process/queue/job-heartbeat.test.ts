import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { runMigrations } from 'graphile-worker'
import pg from 'pg'
import type { Connected, PgPool } from '../../../src/queue/graphile/graphile-module.ts'
import { JobConnections } from '../../../src/queue/graphile/job-environment.ts'
import { type HeartbeatOptions, JobHeartbeat } from '../../../src/queue/graphile/job-heartbeat.ts'
import { JobStore } from '../../../src/queue/graphile/job-store.ts'
import { QueueEvents } from '../../../src/queue/queue-events.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { startPostgres, type TestServer } from '../database/postgres.ts'
import { until } from '../support/until.ts'

const POOL = 'pool-of-the-test'
const OPTIONS: HeartbeatOptions = {
  heartbeat: ms(50),
  releaseAfter: ms(600_000),
  events: new QueueEvents('jobs', () => {}),
}

let server: TestServer
let pool: pg.Pool
let connections: JobConnections
let store: JobStore

before(async () => {
  server = await startPostgres()
  await runMigrations({ connectionString: urlOf(server) })
})
after(async () => {
  await server?.stop()
})
beforeEach(async () => {
  pool = new pg.Pool({ ...server.options('test'), max: 2 })
  connections = new JobConnections(pool, 4, false)
  store = new JobStore('graphile_worker')
  await store.prepare(connections.pool)
})
afterEach(async () => {
  await connections.end(ms(10_000))
  await pool.query('truncate punctual_forwarded, punctual_job_pools')
  await pool.end()
})

function urlOf({ user, password, port }: TestServer): string {
  return `postgres://${user}:${password}@127.0.0.1:${port}/postgres`
}

async function count(table: string): Promise<number> {
  const { rows } = await pool.query(`select count(*)::int as n from ${table}`)
  return rows[0].n
}

test('all old ids of forwarded items are deleted, and no others', async (context) => {
  const insert = `insert into punctual_forwarded (id, at) select $1 || n, now() - $2::interval from generate_series(1, $3) n`
  await pool.query(insert, ['old', '8 days', 25_000])
  await pool.query(insert, ['young', '6 days', 10])
  // The deletion begins at a random time of the first hour; this is the earliest.
  context.mock.method(Math, 'random', () => 0)
  const pulse = new JobHeartbeat(store, connections, POOL, OPTIONS)
  try {
    await until('the old ones to be forgotten', async () => (await count('punctual_forwarded')) <= 10)
    assert.equal(await count(`punctual_forwarded where id like 'young%'`), 10)
  } finally {
    await pulse.end(ms(10_000))
  }
})

test('a late heartbeat is not written after its pool of jobs was removed', async () => {
  const sent = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const slow: PgPool = {
    options: {},
    query: async (text, values) => {
      if (text.startsWith('insert into punctual_job_pools')) {
        sent.resolve()
        await held.promise
      }
      return connections.pool.query(text, values)
    },
  }
  const pulse = new JobHeartbeat(store, { pool: slow, breakAll: () => {} }, POOL, OPTIONS)
  void pulse.beat()
  await sent.promise
  const ended = pulse.end(ms(20_000))
  held.resolve()
  await ended
  assert.equal(await count('punctual_job_pools'), 0)
})

test('a pool of jobs leaves although its connections were just destroyed', async () => {
  const pulse = new JobHeartbeat(store, connections, POOL, OPTIONS)
  await pulse.beat()
  assert.equal(await count('punctual_job_pools'), 1)
  connections.breakAll()
  await pulse.end(ms(20_000))
  assert.equal(await count('punctual_job_pools'), 0)
})

test('destroyed connections fail their queries, count as lost, and are replaced', async () => {
  const asked = connections.pool.query('select pg_sleep(600)')
  const running = async (): Promise<boolean> => (await server.running('punctual jobs')).length === 1
  await until('the question to be asked', running)
  connections.breakAll()
  await assert.rejects(asked, /terminated/)
  assert.equal(connections.lost, 1)
  assert.deepEqual((await connections.pool.query('select 1 as one')).rows, [{ one: 1 }])
})

test('a connection that is released twice is released once', async () => {
  const taken = Promise.withResolvers<Parameters<Connected>>()
  connections.pool.connect((...answer) => taken.resolve(answer))
  const [error, , release] = await taken.promise
  assert.equal(error, undefined)
  release()
  release()
  assert.deepEqual((await connections.pool.query('select 1 as one')).rows, [{ one: 1 }])
})
