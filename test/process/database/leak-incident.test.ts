import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { startPostgres } from './postgres.ts'

const INDEX = join(import.meta.dirname, '../../../src/index.ts')
const PG = import.meta.resolve('pg')

const files = {
  'app.mjs': `
import http from 'node:http'
import pg from '${PG}'
import { guardPool, withQueryTimeout } from '${INDEX.replace('index.ts', 'postgres/index.ts')}'
const pool = guardPool('main', new pg.Pool({ ...JSON.parse(process.env.DATABASE), max: 2 }), { leakThreshold: '200ms' })
async function forgetful() { await withQueryTimeout('forget', '5s', () => pool.connect()) }
http.createServer(async (request, response) => {
  if (request.url === '/leak') await forgetful()
  response.end('ok')
}).listen(process.env.PORT, process.env.HOST)
`,
}

test('a connection that is never released is an incident with its borrower; the worker keeps running', async () => {
  const postgres = await startPostgres()
  after(() => postgres.stop())
  await using server = await startServer({
    files,
    settings: { workers: 1 },
    env: { DATABASE: JSON.stringify(postgres.options('app')) },
  })
  const { pid } = await server.worker()
  assert.equal((await request(`${server.url}/leak`)).body, 'ok')
  const incident = await server.incident('of the leak', ({ kind }) => kind === 'leak')
  const { pool, borrower, heldForMs } = incident.leak ?? assert.fail()
  assert.equal(pool, 'main')
  assert.match(borrower, /^forget \(.*app\.mjs:\d+\)$/)
  assert.ok(heldForMs >= 200, `${heldForMs} ms`)
  assert.equal(incident.worker?.pid, pid)
  assert.equal((await server.worker()).pid, pid)
})
