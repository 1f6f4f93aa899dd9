import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Status } from '../../../src/diagnostics/status.ts'
import type { QueriesReport } from '../../../src/query-insight/queries-report.ts'
import { type TestServer as Postgres, startPostgres } from '../database/postgres.ts'
import { request } from '../support/client.ts'
import type { LogLine } from '../support/log-lines.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { compile, files, marks, ROWS } from './repeating-app.ts'

let postgres: Postgres

before(async () => {
  postgres = await startPostgres()
  const client = await postgres.outsider()
  await client.query('create table tests (id serial primary key, referral_id int, status text)')
  await client.end()
})
after(() => postgres.stop())

async function start(entry: string, prepare?: (directory: string) => void): Promise<TestServer> {
  return startServer({
    files,
    entry,
    ...(prepare === undefined ? {} : { prepare }),
    settings: { workers: 1, stallAction: 'report' },
    env: { DATABASE: JSON.stringify(postgres.options('app')), SQLITE_FILE: ':memory:' },
  })
}

async function reportsEachPlace(server: TestServer): Promise<void> {
  for (const [shape, line] of marks()) {
    assert.equal((await request(`${server.url}/${shape}`)).status, 200, shape)
    const entry = await server.log(({ event, route }) => event === 'query-repeated' && route === `/${shape}`)
    assert.match(String(entry.sql), /referral_id/, shape)
    assert.deepEqual([entry.repeats, entry.place], [ROWS, `src/shapes.ts:${line}`], shape)
    assert.equal(entry.advice, shape === 'inserts' ? 'write-together' : 'load-together', shape)
  }
}

describe('the line that repeats a query', () => {
  test('is reported for stripped TypeScript, once', async () => {
    await using server = await start('src/app.ts')
    await reportsEachPlace(server)
    const repeatedBy = (wanted: string): LogLine[] =>
      server.lines.filter(({ event, route }) => event === 'query-repeated' && route === wanted)
    assert.match(String(repeatedBy('/helper')[0]?.via), /^ask \(src\/helpers\.ts:\d+\)$/)
    for (let index = 0; index < 3; index++) await request(`${server.url}/loop`)
    const reportOf = ({ workers }: Status): QueriesReport | undefined => workers[0]?.modules.queries as QueriesReport
    const status = await server.until('the queries to be reported', (now) => {
      return reportOf(now)?.routes.find(({ route }) => route === 'GET /loop')?.requests === 4
    })
    assert.equal(repeatedBy('/loop').length, 1)
    const { routes = [], repeats = [], slowest = [] } = reportOf(status) ?? {}
    assert.deepEqual(
      routes.find(({ route }) => route === 'GET /loop'),
      {
        route: 'GET /loop',
        requests: 4,
        queries: 4 * (ROWS + 1),
        max: ROWS + 1,
      },
    )
    assert.ok(repeats.some(({ place, max }) => place === `src/shapes.ts:${marks().get('loop')}` && max === ROWS))
    assert.ok(slowest.some(({ sql, p99Ms, count }) => sql.includes('referral_id') && p99Ms > 0 && count >= ROWS))
  })

  test('is reported for compiled code, by its source map', async () => {
    await using server = await start('dist/app.js', compile)
    await reportsEachPlace(server)
  })
})
