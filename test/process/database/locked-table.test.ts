import assert from 'node:assert/strict'
import net from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { startPostgres } from './postgres.ts'

const INDEX = join(import.meta.dirname, '../../../src/index.ts')
const PG = import.meta.resolve('pg')
const CLIENTS = 100
const DEADLINE = 4_000
/**
 * Allowed beyond the deadline on a busy machine. Without a deadline the requests would wait for the
 * lock.
 */
const SLACK = 10_000

/** The same handlers on a guarded pool and on a plain one. */
const files = {
  'app.mjs': `
import http from 'node:http'
import pg from '${PG}'
import { bulkhead } from '${INDEX}'
import { guardPool, poolHealth } from '${INDEX.replace('index.ts', 'postgres/index.ts')}'
const open = (name) => new pg.Pool({ ...JSON.parse(process.env.DATABASE), application_name: name, max: 10 })
const guarded = guardPool('main', open('guarded'), { queryTimeout: '2s', acquireTimeout: '2s' })
const bare = open('bare')
bare.on('error', () => {})
// At most half of the pool, so that a locked table cannot take all of it.
const orders = bulkhead('orders', { concurrent: 5, queue: 1000 })
const routes = {
  '/orders': () => orders.run(() => guarded.query('select count(*) from orders')),
  '/users': () => guarded.query('select count(*) from users'),
  '/before/orders': () => bare.query('select count(*) from orders'),
  '/health': async () => ({ rows: [poolHealth(guarded).level] }),
}
http.createServer(async (request, response) => {
  try {
    const { rows } = await routes[request.url]()
    response.end(JSON.stringify(rows))
  } catch (error) {
    response.writeHead(503, { 'retry-after': '1' }).end(error.code)
  }
}).listen(process.env.PORT, process.env.HOST)
`,
}

test('a locked table delays no request beyond its deadline, and leaves no query on the server', async (t) => {
  const postgres = await startPostgres()
  after(() => postgres.stop())
  const outsider = await postgres.outsider()
  await outsider.query('create table orders (id int); create table users (id int)')
  const settings = { workers: 1, stallAction: 'report', requestTimeout: `${DEADLINE}ms` }
  const env = { DATABASE: JSON.stringify(postgres.options('app')) }
  await using server = await startServer({ files, settings, env })
  const ask = (path: string): ReturnType<typeof request> => request(`${server.url}${path}`)
  const many = (path: string, count: number): Promise<Awaited<ReturnType<typeof request>>[]> =>
    Promise.all(Array.from({ length: count }, () => ask(path)))
  assert.equal((await ask('/orders')).status, 200)
  await many('/users', CLIENTS)
  const quiet = p99(await many('/users', CLIENTS))

  await outsider.query('begin; lock table orders in access exclusive mode')
  const locked = many('/orders', CLIENTS)
  const before = many('/before/orders', 5)
  await until('the queries to wait', async () => (await postgres.running('guarded')).length >= 5)
  const others = await many('/users', CLIENTS)
  assert.ok(others.every(({ status }) => status === 200))
  const disturbed = p99(others)
  const answers = await locked
  assert.deepEqual(new Set(answers.map(({ kind, status }) => `${kind} ${status}`)), new Set(['answer 503']))
  const slowest = Math.max(...answers.map(({ tookMs }) => tookMs))
  assert.ok(slowest < DEADLINE + SLACK, `${slowest} ms`)
  await until('our queries to be gone from the server', async () => (await postgres.running('guarded')).length === 0)
  await until('the pool to be healthy', async () => (await ask('/health')).body.includes('HEALTHY'))
  // A plain pool leaves its queries running although their clients have been answered.
  assert.ok((await before).every(({ status }) => status === 503))
  assert.equal((await postgres.running('bare')).length, 5)
  await outsider.query('rollback')
  assert.equal((await ask('/orders')).status, 200, 'recovered')
  t.diagnostic(
    `slowest of ${CLIENTS}: ${Math.round(slowest)} ms with a deadline of ${DEADLINE} ms; p99 of the other route ${(disturbed / quiet).toFixed(1)} times the quiet one`,
  )
})

function p99(answers: readonly { readonly tookMs: number }[]): number {
  const sorted = answers.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN
}

test('a client that disconnects cancels its query, which does not count as a timeout', async (t) => {
  const postgres = await startPostgres()
  after(() => postgres.stop())
  const outsider = await postgres.outsider()
  await outsider.query('create table orders (id int)')
  await outsider.query('begin; lock table orders in access exclusive mode')
  const env = { DATABASE: JSON.stringify(postgres.options('app')) }
  await using server = await startServer({ files, settings: { workers: 1 }, env })
  const client = net.connect(server.port, '127.0.0.1')
  client.write('GET /orders HTTP/1.1\r\nhost: x\r\n\r\n')
  await until('the query to wait', async () => (await postgres.running('guarded')).length === 1)
  client.destroy()
  const leftAt = performance.now()
  await until('the query to be gone from the server', async () => (await postgres.running('guarded')).length === 0)
  t.diagnostic(`the query was gone ${Math.round(performance.now() - leftAt)} ms after its client`)
  const { workers } = await server.until(
    'it to be counted',
    ({ workers: [worker] }) => worker?.outcomes['client-disconnected'] === 1,
  )
  assert.equal(workers[0]?.outcomes['timed-out'], 0)
  await until('the pool to be healthy', async () => (await request(`${server.url}/health`)).body.includes('HEALTHY'))
})
