import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { guardPool, poolHealth, QueryTimeoutError } from '../../../src/postgres/index.ts'
import { until, within } from '../support/until.ts'
import { startPostgres, type TestServer } from './postgres.ts'
import { startSilentProxy } from './silent-proxy.ts'

let server: TestServer
before(async () => {
  server = await startPostgres()
})
after(() => server.stop())

async function cancels(
  t: { after(run: () => Promise<void>): void },
  name: string,
  config: pg.PoolConfig,
): Promise<void> {
  const pool = guardPool(name, new pg.Pool({ ...server.options(name), max: 1, ...config }), {
    queryTimeout: '150ms',
    onEvent: () => {},
  })
  t.after(() => within('the pool to end', pool.end()))
  const { rows } = await pool.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')
  assert.deepEqual(rows, [{ ssl: config.ssl !== undefined }])
  await assert.rejects(pool.query('select pg_sleep(60)'), QueryTimeoutError)
  await until('the query to be ended', async () => (await server.running(name)).length === 0)
  await until('the pool to have everything back', () => poolHealth(pool).active === 0)
  assert.equal(poolHealth(pool).counts.destroyed, 0)
  assert.deepEqual((await pool.query('select 1 as n')).rows, [{ n: 1 }])
}

test('a cancel request uses the Unix socket of its connection', (t) =>
  cancels(t, 'unix', { host: server.socketDirectory }))

test('a cancel request uses the proxy of its connection', async (t) => {
  const proxy = await startSilentProxy(server.port)
  t.after(() => proxy.close())
  await cancels(t, 'proxied', { port: proxy.port })
})

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

describe('a cancel request uses TLS as its connection does', {
  skip: hasOpenssl ? false : 'openssl is not installed',
}, () => {
  let ca: string
  before(async () => {
    ca = await server.enableTls()
  })

  test('after a negotiation', (t) => cancels(t, 'tls', { host: 'localhost', ssl: { ca } }))
  test('from the first byte', (t) => cancels(t, 'direct', { host: 'localhost', ssl: { ca }, sslnegotiation: 'direct' }))
  test('without verification of the certificate', (t) =>
    cancels(t, 'unchecked', { ssl: { rejectUnauthorized: false } }))
})
