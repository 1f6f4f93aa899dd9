import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import pg from 'pg'
import { ms } from '../../src/resilience/duration.ts'
import { SettingError } from './app-error.ts'
import { buildApp } from './build-app.ts'
import { openGuardedPool } from './database/guarded-pool.ts'
import { openPool } from './database/pool.ts'
import { release } from './database/release.ts'
import { waitUntil } from './guardian/wait-until.ts'
import { canProxy } from './outside/database-proxy.ts'
import { type FaultStatus, readFaults } from './outside/faults.ts'
import { type Outside, startOutside } from './outside/outside.ts'
import { type Frame, queryFrames } from './outside/query-frames.ts'
import type { Problem } from './problem.ts'
import { QueryTimeoutError, withQueryTimeout } from './punctual.ts'
import { makeTestDatabase, type TestDatabase } from './testing/database.ts'

const TIMEOUT = ms(30_000)

let database: TestDatabase
let outside: Outside
let direct: pg.Pool
let app: FastifyInstance

before(async () => {
  database = await makeTestDatabase()
  await release(database.url)
  outside = await startOutside(database.url)
  direct = openPool({ url: database.url, max: 2 })
  app = buildApp({ databaseUrl: outside.databaseUrl, faultsUrl: outside.faultsUrl, logLevel: 'silent' })
})
afterEach(() => outside?.order({}))
after(async () => {
  await app?.close()
  await outside?.close()
  await direct?.end()
  await database?.remove()
})

async function order(
  method: 'GET' | 'PUT' | 'DELETE',
  body?: object,
): Promise<{ status: number; body: FaultStatus & Problem }> {
  const answer = await app.inject({ method, url: '/try/faults', ...(body === undefined ? {} : { payload: body }) })
  return { status: answer.statusCode, body: answer.json() }
}

async function locks(): Promise<number> {
  const { rows } = await direct.query<{ n: number }>(
    `select count(*)::int as n from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'api_keys'::regclass`,
  )
  return rows[0]?.n ?? 0
}

test('faults are ordered, shown, replaced and ended over HTTP', async () => {
  const ordered = await order('PUT', { queryDelay: [1, 2], hangTable: 'api_keys', hangFor: 60_000, partner: 'slow' })
  assert.equal(ordered.status, 200)
  const { queryDelay, hangTable, hangLeft, partner } = (await order('GET')).body
  assert.deepEqual([queryDelay, hangTable, partner], [[1, 2], 'api_keys', 'slow'])
  assert.ok(hangLeft > 0 && hangLeft <= 60_000)
  assert.equal(await locks(), 1)

  const replaced = await order('PUT', { partner: 'fail' })
  assert.deepEqual([replaced.body.queryDelay, replaced.body.hangTable, replaced.body.partner], [null, null, 'fail'])
  const ended = await order('DELETE')
  assert.deepEqual([ended.status, ended.body.partner], [200, 'well'])
  assert.ok(await waitUntil(async () => (await locks()) === 0, TIMEOUT, ms(10)))
})

test('a table hangs no longer than ordered', async () => {
  await order('PUT', { hangTable: 'api_keys', hangFor: 50 })
  assert.ok(await waitUntil(async () => (await locks()) === 0, TIMEOUT, ms(10)))
  assert.equal(outside.status().hangTable, null)
})

test('an impossible fault is rejected with a code, and leaves no fault active', async () => {
  const unknown = await order('PUT', { hangTable: 'no_such_table', partner: 'fail' })
  assert.deepEqual([unknown.status, unknown.body.code], [409, 'TABLE_UNKNOWN'])
  const reversed = await order('PUT', { queryDelay: [9, 3] })
  assert.deepEqual([reversed.status, reversed.body.code], [409, 'DELAY_REVERSED'])
  for (const bad of [
    { queryDelay: [1] },
    { queryDelay: [-1, 5] },
    { hangTable: 'x; drop' },
    { partner: 'away' },
    { mail: 'slow' },
    { hangFor: 0 },
    { slow: true },
  ]) {
    assert.equal((await order('PUT', bad)).status, 400, JSON.stringify(bad))
  }
  const { queryDelay, hangTable, partner } = outside.status()
  assert.deepEqual([queryDelay, hangTable, partner], [null, null, 'well'])
})

test('an app without a control server cannot order faults', async () => {
  const alone = buildApp({ databaseUrl: 'postgres://127.0.0.1:1/none', logLevel: 'silent' })
  try {
    const answer = await alone.inject('/try/faults')
    assert.equal(answer.statusCode, 404)
    assert.equal(answer.json<Problem>().code, 'NO_OUTSIDE')
  } finally {
    await alone.close()
  }
})

test('a delay applies to every query, with and without values, and each is counted once', async () => {
  const client = new pg.Client({ connectionString: outside.databaseUrl, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    await outside.order({ queryDelay: [100, 120] })
    const counted = outside.status().queries ?? 0
    const start = performance.now()
    await client.query('select 1')
    await client.query('select $1::int', [2])
    await client.query({ name: 'kept', text: 'select $1::int', values: [3] })
    await client.query({ name: 'kept', text: 'select $1::int', values: [4] })
    // Timers may fire a millisecond early.
    assert.ok(performance.now() - start >= 4 * 99)
    assert.equal((outside.status().queries ?? 0) - counted, 4)
  } finally {
    await client.end()
  }
})

test('a delayed query that times out is cancelled on the server, and its connection is reused', async () => {
  const pool = openGuardedPool({ url: outside.databaseUrl, max: 1, onEvent: () => {} })
  try {
    await pool.query('select 1')
    await outside.order({ queryDelay: [20, 50] })
    const cut = withQueryTimeout('a nap', '300ms', () => pool.query('select pg_sleep(60) as nap'))
    await assert.rejects(cut, QueryTimeoutError)
    const asleep = async (): Promise<boolean> => {
      const { rows } = await direct.query(
        `select from pg_stat_activity where application_name = 'incidents after' and state = 'active' and query like '%as nap%'`,
      )
      return rows.length > 0
    }
    assert.ok(await waitUntil(async () => !(await asleep()), TIMEOUT, ms(10)))
    assert.equal((await pool.query<{ one: number }>('select 1 as one')).rows[0]?.one, 1)
  } finally {
    await pool.end()
  }
})

test('close ends all faults and ports', async () => {
  const other = await startOutside(database.url)
  await other.order({ hangTable: 'api_keys', hangFor: 60_000 })
  await other.close()
  assert.ok(await waitUntil(async () => (await locks()) === 0, TIMEOUT, ms(10)))
  await assert.rejects(fetch(other.faultsUrl))
  await assert.rejects(fetch(other.partnerUrl))
})

test('an encrypted database is reached directly, and a delay is rejected', async () => {
  const env = {}
  assert.ok(canProxy('postgres://me@db.example/app', env))
  assert.ok(canProxy('postgresql://me@[::1]:5432/app?sslmode=disable', env))
  for (const url of [
    'postgres://db/app?sslmode=require',
    'postgres://db/app?sslrootcert=/x',
    'postgres:///app?host=/run/postgresql',
  ]) {
    assert.equal(canProxy(url, env), false, url)
  }
  const encrypted = await startOutside(database.url, { PGSSLMODE: 'require' })
  try {
    assert.equal(encrypted.databaseUrl, database.url)
    assert.equal(encrypted.status().queries, null)
    await assert.rejects(encrypted.order({ queryDelay: [1, 2] }), { code: 'DELAY_UNSUPPORTED' })
  } finally {
    await encrypted.close()
  }
})

test('faults are also read from the environment, and an invalid one is rejected by name', () => {
  assert.deepEqual(readFaults({}), {})
  assert.deepEqual(
    readFaults({
      FAULT_QUERY_DELAY: '100-250',
      FAULT_HANG_TABLE: 'auth_users',
      FAULT_HANG_FOR: '12000',
      FAULT_PARTNER: 'hang',
      FAULT_MAIL: 'fail',
    }),
    { queryDelay: [100, 250], hangTable: 'auth_users', hangFor: 12_000, partner: 'hang', mail: 'fail' },
  )
  for (const env of [
    { FAULT_QUERY_DELAY: '250-100' },
    { FAULT_QUERY_DELAY: '100' },
    { FAULT_HANG_TABLE: 'Users!' },
    { FAULT_HANG_FOR: '0' },
    { FAULT_PARTNER: 'away' },
    { FAULT_MAIL: 'slow' },
  ]) {
    assert.throws(
      () => readFaults(env),
      (error) => error instanceof SettingError && error.details.name === Object.keys(env)[0],
    )
  }
})

function message(type: string, ...body: number[]): Buffer {
  const head = Buffer.alloc(type.length + 4)
  head.write(type, 'latin1')
  head.writeInt32BE(4 + body.length, type.length)
  return Buffer.concat([head, Buffer.from(body)])
}

async function framesOf(chunks: readonly Buffer[]): Promise<Frame[]> {
  async function* source(): AsyncGenerator<Buffer> {
    yield* chunks
  }
  const frames: Frame[] = []
  for await (const frame of queryFrames(source())) frames.push(frame)
  return frames
}

test('messages are found in any chunks, and no byte is lost', async () => {
  const sent = [
    message('', 0, 3, 0, 0, 1, 2, 3),
    message('p', 1),
    message('Q', 65, 0),
    message('P', 1, 2),
    message('B'),
    message('S'),
    message('X'),
  ]
  const whole = Buffer.concat(sent)
  for (const size of [1, 2, 3, 7, whole.length]) {
    const chunks = Array.from({ length: Math.ceil(whole.length / size) }, (_, index) =>
      whole.subarray(index * size, (index + 1) * size),
    )
    const frames = await framesOf(chunks)
    assert.deepEqual(
      frames.map(({ bytes }) => bytes.toString('hex')),
      sent.map((bytes) => bytes.toString('hex')),
    )
    assert.deepEqual(
      frames.map(({ isQuery }) => isQuery),
      [false, false, true, false, false, true, false],
    )
  }
})

test('what cannot be parsed passes unchanged: a cancel request, an encrypted stream, garbage', async () => {
  const cancel = message('', 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2)
  const ssl = message('', 4, 210, 22, 47)
  const tls = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1])
  for (const chunks of [[cancel], [ssl, tls, Buffer.from('QQQQQ')], [Buffer.alloc(8)]]) {
    const frames = await framesOf(chunks)
    assert.deepEqual(Buffer.concat(frames.map(({ bytes }) => bytes)), Buffer.concat(chunks))
    assert.ok(frames.every(({ isQuery }) => !isQuery))
  }
})
