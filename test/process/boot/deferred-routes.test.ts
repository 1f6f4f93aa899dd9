import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import type { Status } from '../../../src/diagnostics/status.ts'
import type { RoutesReport } from '../../../src/routes/routes-report.ts'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

/** URL of a module of Punctual, for an app in another directory. */
function punctual(path: string): string {
  return pathToFileURL(join(import.meta.dirname, '../../../src', path)).href
}

/**
 * Two deferred modules: one waits at its top level until a file `go` is there, one throws until a
 * file `mended` is there.
 */
const FILES = {
  'app.js': `
import { deferRoutes } from '${punctual('routes/defer-handler.ts')}'
const reports = deferRoutes('/reports', () => import('./reports.js'))
const broken = deferRoutes('/broken', () => import('./broken.js'), { retryDelay: '50ms', maxRetryDelay: '100ms' })
export default (request, response) => reports(request, response, () => broken(request, response, () => response.end('critical')))
`,
  'reports.js': `
import { existsSync } from 'node:fs'
while (!existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 10))
export default (request, response) => response.end('reports')
`,
  'broken.js': `
import './reason.js'
export default (request, response) => response.end('mended')
`,
  'reason.js': `
import { existsSync } from 'node:fs'
if (!existsSync('mended')) throw new Error('no licence')
`,
}

function routesOf(status: Status): Partial<RoutesReport> {
  return (status.workers[0]?.modules.routes ?? {}) as Partial<RoutesReport>
}

test('a worker serves while its deferred routes are loading, and a request for them waits within its deadline', async () => {
  await using server = await startServer({
    files: FILES,
    settings: {
      workers: 1,
      // A busy machine may delay the first response by a second.
      requestTimeout: '4s',
      stallAction: 'report',
      stallReportAfter: '1s',
      stallInterruptAfter: '2s',
      stallKillAfter: '3s',
    },
  })
  assert.equal((await request(server.url)).body, 'critical')
  const early = await request(`${server.url}/reports`)
  assert.equal(early.status, 503)
  assert.equal(early.headers['retry-after'], '1')
  assert.equal(JSON.parse(early.body).type, 'urn:punctual:error:routes-not-loaded')
  await server.until('the hanging module to be reported', (status) => routesOf(status).loading === 1)

  server.directory.write({ go: '' })
  await until('the routes to be loaded', async () => (await request(`${server.url}/reports`)).body === 'reports')
  const status = await server.until('that to be reported', (status) => routesOf(status).loaded === 1)
  assert.equal(status.workers[0]?.state, 'ready')
})

test('a module that throws fails only its own routes, is reported with the reason, and is retried until it loads', async () => {
  await using server = await startServer({ files: { ...FILES, go: '' }, settings: { workers: 1 } })
  const failed = await request(`${server.url}/broken`)
  assert.equal(failed.status, 503)
  assert.equal(JSON.parse(failed.body).type, 'urn:punctual:error:routes-failed')
  assert.doesNotMatch(failed.body, /licence/)
  const { modules = [] } = routesOf(
    await server.until('the reason to be reported', (status) => routesOf(status).failed === 1),
  )
  assert.equal(modules.find(({ prefix }) => prefix === '/broken')?.error, 'Error: no licence')
  const line = await server.log(({ event, prefix }) => event === 'failed' && prefix === '/broken')
  assert.equal(line.level, 'error')
  assert.equal((line.error as Error).message, 'no licence')
  assert.equal((await request(server.url)).body, 'critical')
  assert.equal((await request(`${server.url}/reports`)).body, 'reports')

  server.directory.write({ mended: '' })
  await until('the routes to be mended', async () => (await request(`${server.url}/broken`)).body === 'mended')
  const { workers, restarts } = await server.status()
  assert.equal(workers[0]?.id, 1)
  assert.deepEqual(restarts, {})
})

test('with readyWhen all, a worker is ready when its deferred routes have been loaded or have failed', async () => {
  await using server = await startServer({
    files: FILES,
    settings: { workers: 1, readyWhen: 'all' },
    ready: false,
  })
  await server.until('the routes to be loading', (status) => routesOf(status).loading === 1)
  // It is `spawned` until its watchdog thread has loaded, which may come later on a busy machine.
  assert.match((await server.status()).workers[0]?.state ?? '', /^(?:spawned|booting)$/)
  server.directory.write({ go: '' })
  await server.until('the worker to be ready', ({ ready }) => ready)
  assert.equal((await request(`${server.url}/reports`)).body, 'reports')
  assert.equal((await request(`${server.url}/broken`)).status, 503)
})
