import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { QueriesReport } from '../../../src/query-insight/queries-report.ts'
import { request } from '../support/client.ts'
import type { LogLine } from '../support/log-lines.ts'
import { startServer } from '../support/server.ts'

const ROOT = join(import.meta.dirname, '../../..')

const files = {
  'app.mjs': `
import fastify from 'fastify'
import { currentRequest } from '${ROOT}/src/index.ts'
import { openSqlite, TooManyQueriesError } from '${ROOT}/src/sqlite/index.ts'
import { expectQueries } from '${ROOT}/src/testing.ts'
import { punctual } from '${ROOT}/src/adapters/fastify.ts'

const db = openSqlite('lite', ':memory:')
await db.exec('create table t (id integer primary key); insert into t values (1), (2), (3)')
const app = fastify()
app.register(punctual())
app.after(() => {
  const ask = async (n) => {
    for (const id of Array(n).keys()) await db.get('select id, ' + id + ' from t where id = ?', [id])
    return 'done'
  }
  app.get('/three/:id', { config: { queries: { max: 3 } } }, (request) => ask(Number(request.query.n)))
  app.get('/allowed', () => {
    currentRequest().allow({ queries: { max: 1 } })
    return ask(2).catch((error) => String(error instanceof TooManyQueriesError) + ' ' + error.code)
  })
  app.get('/wrong', { config: { queries: { max: -1 } } }, () => ask(1))
  app.get('/later', async (request, reply) => {
    reply.send('done')
    await new Promise((resolve) => reply.raw.once('close', resolve))
    await ask(9)
  })
  app.get('/expecting', () => expectQueries(1, () => ask(2)).catch(({ actual, expected, operator }) => ({ actual, expected, operator })))
})
export default app
`,
}

describe('maxQueriesPerRequest', () => {
  test('is logged once per route in production, and fails no request', async () => {
    await using server = await startServer({
      files,
      settings: { workers: 1, stallAction: 'report', maxQueriesPerRequest: 8 },
      env: { NODE_ENV: 'production' },
    })
    const get = async (path: string): Promise<string> => (await request(`${server.url}${path}`)).body
    assert.equal(await get('/three/1?n=3'), 'done')
    assert.equal(await get('/three/2?n=4'), 'done')
    assert.equal(await get('/three/3?n=4'), 'done')
    assert.equal(await get('/allowed'), 'done')
    assert.equal((await request(`${server.url}/wrong`)).status, 500)
    assert.equal(await get('/later'), 'done')
    const requestsOverLimit = (wanted: string): Promise<LogLine> =>
      server.log(({ event, route }) => event === 'too-many-queries' && route === wanted)
    const three = await requestsOverLimit('/three/:id')
    const sql = 'select id, ? from t where id = ?'
    assert.deepEqual([three.queries, three.maxQueriesPerRequest, three.mostRepeated], [4, 3, { sql, count: 4 }])
    const allowed = await requestsOverLimit('/allowed')
    assert.deepEqual([allowed.queries, allowed.maxQueriesPerRequest, allowed.mostRepeated], [2, 1, { sql, count: 2 }])
    assert.deepEqual(JSON.parse(await get('/expecting')), { actual: 2, expected: 1, operator: 'expectQueries' })
    const reportOf = (modules: Readonly<Record<string, unknown>> | undefined): QueriesReport | undefined =>
      modules?.queries as QueriesReport | undefined
    const status = await server.until(
      'the report',
      ({ workers }) => reportOf(workers[0]?.modules)?.requestsOverLimit === 3,
    )
    const { routes = [] } = reportOf(status.workers[0]?.modules) ?? {}
    assert.deepEqual(
      routes.find(({ route }) => route === 'GET /three/:id'),
      { route: 'GET /three/:id', requests: 3, queries: 11, max: 4 },
    )
    // Queries after the response are not counted.
    assert.equal(
      routes.some(({ route }) => route === 'GET /later'),
      false,
    )
    assert.equal(server.lines.filter(({ event }) => event === 'too-many-queries').length, 2)
    const metrics = await request(`${server.admin}/metrics`)
    assert.match(metrics.body, /^punctual_route_queries_total\{worker="1",route="GET \/three\/:id"\} 11$/m)
    assert.match(metrics.body, /^punctual_requests_over_query_limit_total\{worker="1"\} 3$/m)
  })

  test('fails the first query that is too many in tests', async () => {
    await using server = await startServer({
      files,
      settings: { workers: 1, stallAction: 'report' },
      env: { NODE_ENV: 'test' },
    })
    assert.equal((await request(`${server.url}/allowed`)).body, 'true PUNCTUAL_TOO_MANY_QUERIES')
    assert.equal((await request(`${server.url}/three/1?n=4`)).status, 503)
    assert.equal((await request(`${server.url}/three/1?n=3`)).status, 200)
  })
})
