import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RoutesReport } from '../../src/routes/routes-report.ts'
import { request } from '../process/support/client.ts'
import { startServer } from '../process/support/server.ts'
import { within } from '../process/support/until.ts'
import { SLOW_ROUTES } from './campaigns/generate-routes.ts'

const form = (name: string): string => join(import.meta.dirname, 'campaigns', `${name}.ts`)

test('before: the dashboard is killed at its boot timeout during its imports', async () => {
  await using server = await startServer({
    entry: form('before'),
    settings: { workers: 1, bootTimeout: '4s' },
    ready: false,
  })
  assert.equal((await within('the arbiter to give up', server.exit)).code, 3)
  const incident = (await server.incidents()).at(-1)
  assert.deepEqual([incident?.kind, incident?.outcome], ['boot', 'killed'])
  assert.ok((incident?.stalledForMs ?? 0) >= 4_000, `killed after ${incident?.stalledForMs} ms`)
})

test('after: the dashboard serves critical routes before the rest is loaded, and loads a requested route at once', async () => {
  await using server = await startServer({ entry: form('after'), settings: { workers: 1 } })
  for (const path of ['/api/me', '/api/brands', '/api/campaigns', '/api/users', '/statusz', '/health']) {
    assert.equal((await request(`${server.url}${path}`)).status, 200, path)
  }
  const last = SLOW_ROUTES.at(-1)
  assert.ok(last)
  assert.equal((await request(`${server.url}${last.prefix}/7`)).body, `{"name":"${last.name}","id":7}`)
  assert.equal((await request(`${server.url}${last.prefix}/x`)).status, 400)
  const status = await server.until(
    'the routes to be reported',
    ({ workers }) => workers[0]?.modules.routes !== undefined,
  )
  const report = status.workers[0]?.modules.routes as RoutesReport
  assert.equal(report.waiting + report.loading + report.loaded, SLOW_ROUTES.length)
  assert.ok(report.waiting > 0, 'the last was loaded before others')
  assert.equal(report.failed, 0)
})
