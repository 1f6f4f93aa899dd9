import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { QueriesReport } from '../../../src/query-insight/queries-report.ts'
import { type TestServer as Postgres, startPostgres } from '../database/postgres.ts'
import { request } from '../support/client.ts'
import { type CommandResult, startServer, type TestServer } from '../support/server.ts'

let postgres: Postgres
let server: TestServer
let url: string

const files = {
  'app.mjs': `
import http from 'node:http'
import pg from '${import.meta.resolve('pg')}'
import { guardPool } from '${join(import.meta.dirname, '../../../src/postgres/index.ts')}'
import { openSqlite } from '${join(import.meta.dirname, '../../../src/sqlite/index.ts')}'
const pool = guardPool('main', new pg.Pool({ ...JSON.parse(process.env.DATABASE), max: 2 }))
const lite = openSqlite('lite', ':memory:')
http.createServer(async (request, response) => {
  await pool.query("select id from tests, pg_sleep(1) where referral_id = $1 and coalesce(status, 'secret') = 'secret'", [1])
  await pool.query("delete from tests where id = 7")
  await pool.query("select 1 as one; select 2 as two")
  await lite.get('select 1 as lite')
  response.end('ok')
}).listen(process.env.PORT, process.env.HOST)
`,
}

before(async () => {
  postgres = await startPostgres()
  url = `postgres://${postgres.user}:${postgres.password}@127.0.0.1:${postgres.port}/postgres`
  const client = await postgres.outsider()
  await client.query('create table tests (id serial primary key, referral_id int, status text)')
  await client.query(`insert into tests (referral_id) select n from generate_series(1, 10) as n`)
  await client.end()
  server = await startServer({
    files,
    settings: { workers: 1 },
    env: { DATABASE: JSON.stringify(postgres.options('app')), THE_DATABASE: url },
  })
  assert.equal((await request(server.url)).status, 200)
  await server.until('the queries to be reported', (status) => queries(status.workers[0]?.modules).length === 4)
  const client2 = await postgres.outsider()
  await client2.query('insert into tests (id) values (7) on conflict do nothing')
  await client2.end()
})
after(async () => {
  await server?.[Symbol.asyncDispose]()
  await postgres?.stop()
})

function queries(modules: Readonly<Record<string, unknown>> | undefined): QueriesReport['slowest'] {
  return (modules?.queries as QueriesReport | undefined)?.slowest ?? []
}

/** The error that a command printed as JSON. */
function errorOf({ stderr }: CommandResult): { readonly code: string; readonly reason: unknown } {
  const { code, details } = JSON.parse(stderr) as { readonly code: string; readonly details: { reason?: unknown } }
  return { code, reason: details.reason }
}

async function idOf(part: string): Promise<string> {
  const { workers } = await server.status()
  return queries(workers[0]?.modules).find(({ sql }) => sql.includes(part))?.fingerprint ?? ''
}

describe('punctual explain', () => {
  test('lists the slowest statements without their values', async () => {
    const { code, stdout } = await server.command('explain')
    assert.equal(code, 0)
    const [heading, first] = stdout.split('\n').map((line) => line.split(/ {2,}/))
    assert.deepEqual(heading, ['QUERY', 'COUNT', 'TOTAL', 'P99', 'ROWS', 'POOL', 'STATEMENT'])
    assert.match(first?.[0] ?? '', /^[0-9a-f]{12}$/)
    assert.equal(first?.[1], '1')
    assert.equal(first?.[5], 'main')
    assert.match(first?.[6] ?? '', /^select id from tests, pg_sleep\(\?\) where referral_id = \$1/)
    assert.doesNotMatch(stdout, /secret/)
    const json = await server.command('explain', '--json')
    assert.deepEqual(
      (JSON.parse(json.stdout) as QueriesReport['slowest']).map(({ fingerprint, count }) => [fingerprint, count])[0],
      [first?.[0], 1],
    )
  })

  test('shows the plan of the slowest statement, or of one by its id', async () => {
    const slowest = await server.command('explain', '--slowest', '--database', url, '--json')
    assert.equal(slowest.code, 0, slowest.stderr)
    const { sql, plan } = JSON.parse(slowest.stdout) as { readonly sql: string; readonly plan: readonly string[] }
    assert.match(sql, /^select id from tests, pg_sleep\(1\) where .* coalesce\(status, \$2\) = \$3$/)
    assert.match(plan[0] ?? '', /^Nested Loop .*cost=/)
    const named = await server.command('explain', (await idOf('delete')).slice(0, 6), '--database', url)
    assert.match(named.stdout, /^delete from tests where id = 7\n\nDelete on tests/)
  })

  test('executes nothing, and refuses several statements', async () => {
    const several = await server.command('explain', await idOf('as two'), '--database', url, '--json')
    assert.equal(several.code, 2)
    assert.deepEqual(errorOf(several), { code: 'PUNCTUAL_USAGE', reason: 'several-statements' })
    const client = await postgres.outsider()
    const { rows } = await client.query('select count(*)::int as n from tests where id = 7')
    await client.end()
    assert.equal(rows[0].n, 1)
  })

  test('reports errors without the password of the URL', async () => {
    const usage = 'PUNCTUAL_USAGE'
    const slowestOf = (database: string): string[] => ['--slowest', '--database', database]
    const cases: readonly (readonly [readonly string[], number, string, string])[] = [
      [slowestOf('NO_SUCH_VARIABLE'), 2, usage, 'no-variable'],
      [['zzz'], 2, usage, 'unknown-query'],
      [[await idOf('as lite')], 2, usage, 'not-explainable'],
      [slowestOf('postgres://x:geheim@127.0.0.1:1/x'), 1, 'PUNCTUAL_COMMAND_REFUSED', 'unreachable'],
      [slowestOf('postgres://x:geheim@localhost:99999/x'), 2, usage, 'database-url'],
      [slowestOf('postgres://x:geheim@localhost/x?sslrootcert=/no/such'), 2, usage, 'database-url'],
    ]
    const results = await Promise.all(cases.map(([flags]) => server.command('explain', '--json', ...flags)))
    for (const [index, [, exitCode, code, reason]] of cases.entries()) {
      const result = results[index] ?? assert.fail()
      assert.equal(result.code, exitCode, result.stderr)
      assert.deepEqual(errorOf(result), { code, reason })
      assert.doesNotMatch(result.stderr, /geheim/)
    }
  })
})
