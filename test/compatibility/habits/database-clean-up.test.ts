import assert from 'node:assert/strict'
import http from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type TestServer as Postgres, startPostgres } from '../../process/database/postgres.ts'
import { request } from '../../process/support/client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { until } from '../../process/support/until.ts'

const APP = join(import.meta.dirname, 'apps/database-clean-up.mjs')

let postgres: Postgres
let server: TestServer

before(async () => {
  postgres = await startPostgres()
  const admin = await postgres.outsider()
  await admin.query('create role tenant_a; create table users (id int primary key, n int)')
  await admin.query('insert into users values (1, 0), (2, 0); grant tenant_a to current_user')
  await admin.query("create function become_tenant() returns text return set_config('role', 'tenant_a', false)")
  await admin.end()
  server = await startServer({
    entry: APP,
    settings: {
      workers: 1,
      requestTimeout: '1s',
      stallAction: 'report',
      stallReportAfter: '500ms',
      drainTimeout: '3s',
      upgradeGrace: '1s',
    },
    env: { DATABASE: JSON.stringify(postgres.options('app')) },
  })
})

after(async () => {
  await server?.[Symbol.asyncDispose]()
  await postgres?.stop()
})

interface Report {
  readonly done: Readonly<Record<string, string>>
  readonly background: { pool: number; withTimeout: number; sqlite: number; errors: Record<string, number> }
}

async function report(): Promise<Report> {
  return JSON.parse((await request(`${server.url}/done`)).body)
}

/** Waits for the clean-up code of a route. */
function cleanedUp(route: string): Promise<string> {
  return until(`the clean-up of ${route}`, async () => (await report()).done[route])
}

/** What the next request finds in the only connection of the pool. */
async function assertClean(): Promise<void> {
  const { status, body } = await request(`${server.url}/who`)
  assert.equal(status, 200, body)
  const { role, tenant, locks, temp, rows } = JSON.parse(body)
  assert.notEqual(role, 'tenant_a')
  assert.deepEqual({ tenant: tenant ?? '', locks, temp, rows }, { tenant: '', locks: 0, temp: null, rows: [] })
}

/** Sends a request whose client leaves after 300 ms. */
async function leave(path: string): Promise<void> {
  const gone = http.get(`${server.url}${path}`)
  gone.on('error', () => {})
  await new Promise((resolve) => setTimeout(resolve, 300))
  gone.destroy()
}

describe('the clean-up of a request', () => {
  const routes = ['/role', '/release-after-clean-up', '/setting', '/lock', '/temp', '/sqlite', '/with-timeout']
  for (const route of [...routes, '/role-in-transaction', '/role-unguarded-wait']) {
    test(`runs after its deadline: ${route}`, async () => {
      assert.notEqual((await request(`${server.url}${route}`)).status, 200)
      assert.equal(await cleanedUp(route), 'done')
      await assertClean()
    })
  }

  for (const route of routes) {
    test(`runs when its client disconnects: ${route}`, async () => {
      const { done } = await report()
      assert.equal(done[route], 'done')
      await leave(route)
      await assertClean()
    })
  }

  test('that it does not come to costs its connection, not the next request its identity', async () => {
    for (const route of ['/role-without-finally', '/role-with-audit', '/role-in-function']) {
      assert.notEqual((await request(`${server.url}${route}`)).status, 200)
      await assertClean()
      await leave(route)
      await assertClean()
    }
  })

  test('that cannot succeed ends by itself', async () => {
    assert.notEqual((await request(`${server.url}/blocked-clean-up`)).status, 200)
    assert.match(await cleanedUp('/blocked-clean-up'), /^QueryTimeoutError/)
    await assertClean()
  })
})

test('a transaction holds no locks after the deadline of its request, and is not committed', async () => {
  const [held, hung] = await Promise.all(['/hold-row', '/hang-with-row'].map((path) => request(server.url + path)))
  assert.deepEqual([held?.status, hung?.status], [503, 503])
  // Within its own deadline of a second.
  const { status, body } = await request(`${server.url}/rows`)
  assert.equal(status, 200, body)
  assert.notEqual(await cleanedUp('/hold-row'), 'done')
  const rows: { id: number; n: number }[] = JSON.parse((await request(`${server.url}/rows`)).body)
  assert.deepEqual(
    rows.map(({ n }) => n),
    [0, 0],
  )
})

describe('work that was begun in a request goes on', () => {
  const goesOn = async (): Promise<void> => {
    // What was under way at the deadline has ended with the request.
    const { pool, withTimeout, sqlite, errors } = (await report()).background
    await until('30 more rounds of the poller', async () => {
      const { background } = await report()
      return background.pool > pool + 30 && background.withTimeout > withTimeout + 30 && background.sqlite > sqlite + 30
    })
    assert.deepEqual((await report()).background.errors, errors)
    await request(`${server.url}/stop-polling`)
  }

  test('after its response', async () => {
    assert.equal((await request(`${server.url}/poll`)).status, 200)
    await goesOn()
  })

  test('after its deadline', async () => {
    assert.equal((await request(`${server.url}/poll-until-late`)).status, 503)
    await goesOn()
  })

  test('with its own timeouts if it was begun before the response, and after it', async () => {
    assert.equal((await request(`${server.url}/accepted`)).status, 202)
    assert.equal(await cleanedUp('/accepted'), 'done')
    assert.equal(await cleanedUp('/accepted-later'), 'done')
  })
})
