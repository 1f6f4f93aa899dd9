import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { QueriesReport } from '../../../src/report/rooms/queries-report.ts'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'

const ROOT = join(import.meta.dirname, '../../..')

const files = {
  'app.mjs': `
import fastify from 'fastify'
import { currentRequest, expectQueries, openSqlite, QueryBudgetError } from '${ROOT}/src/index.ts'
import { punctual } from '${ROOT}/src/adapters/fastify.ts'

const db = openSqlite(':memory:', { name: 'lite' })
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
    return ask(2).catch((error) => String(error instanceof QueryBudgetError) + ' ' + error.code)
  })
  app.get('/wrong', { config: { queries: { max: -1 } } }, () => ask(1))
  app.get('/later', async (request, reply) => {
    reply.send('done')
    await new Promise((resolve) => reply.raw.once('close', resolve))
    await ask(9)
  })
  app.get('/expecting', () => expectQueries(1, () => ask(2)).catch(({ message }) => message))
})
export default app
`,
}

describe('a budget of queries', () => {
  test('is a line in the log of a server, once for each route, and harms nobody', async () => {
    await using server = await startServer({
      files,
      settings: { workers: 1, stallAction: 'report', queryBudget: 8 },
      env: { NODE_ENV: 'production' },
    })
    const get = async (path: string): Promise<string> => (await request(`${server.url}${path}`)).body
    assert.equal(await get('/three/1?n=3'), 'done')
    assert.equal(await get('/three/2?n=4'), 'done')
    assert.equal(await get('/three/3?n=4'), 'done')
    assert.equal(await get('/allowed'), 'done')
    assert.equal((await request(`${server.url}/wrong`)).status, 500)
    assert.equal(await get('/later'), 'done')
    await server.log(/^GET \/three\/:id ran 4 queries, and its budget is 3; 4 were "select/)
    await server.log(/^GET \/allowed ran 2 queries, and its budget is 1;/)
    assert.match(
      await get('/expecting'),
      /^expected 1 query, and there were 2:\n {2}2 × select id, \? from t where id = \?$/,
    )
    const reportOf = (rooms: Readonly<Record<string, unknown>> | undefined): QueriesReport | undefined =>
      rooms?.queries as QueriesReport | undefined
    const status = await server.until('the report', ({ workers }) => reportOf(workers[0]?.rooms)?.overBudget === 3)
    const { routes = [] } = reportOf(status.workers[0]?.rooms) ?? {}
    assert.deepEqual(
      routes.find(({ route }) => route === 'GET /three/:id'),
      { route: 'GET /three/:id', requests: 3, queries: 11, max: 4 },
    )
    // What a request does when it has been answered is nobody's wait.
    assert.equal(
      routes.some(({ route }) => route === 'GET /later'),
      false,
    )
    assert.equal(server.lines.filter(({ msg }) => / budget is /.test(msg)).length, 2)
    const metrics = await request(`${server.admin}/metrics`)
    assert.match(metrics.body, /^punctual_route_queries_total\{worker="1",route="GET \/three\/:id"\} 11$/m)
    assert.match(metrics.body, /^punctual_requests_over_query_budget_total\{worker="1"\} 3$/m)
  })

  test('fails in tests, by the query that is too many', async () => {
    await using server = await startServer({
      files,
      settings: { workers: 1, stallAction: 'report' },
      env: { NODE_ENV: 'test' },
    })
    assert.equal((await request(`${server.url}/allowed`)).body, 'true PUNCTUAL_QUERY_BUDGET')
    assert.equal((await request(`${server.url}/three/1?n=4`)).status, 503)
    assert.equal((await request(`${server.url}/three/1?n=3`)).status, 200)
  })
})
