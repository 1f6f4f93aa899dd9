import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BootReport, CostlyImport, ImportCost } from '../../../src/diagnostics/boot-report.ts'
import { startServer } from '../support/server.ts'
import { within } from '../support/until.ts'

const spin = (ms: number): string => `const end = performance.now() + ${ms}\nwhile (performance.now() < end);\n`

const FILES = {
  'app.mjs': `#!/usr/bin/env node
import './routes.mjs'
import plain from './plain.cjs'
export default (request, response) => response.end(plain.name)
`,
  'routes.mjs': `import './heavy.mjs'
import net from 'node:net'
import { readFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { EventEmitter } from 'node:events'
class Pool extends EventEmitter {}
export const pool = new Pool()
readFileSync(import.meta.filename)
execFileSync('true')
setInterval(() => {}, 30_000).unref()
net.connect(9, '127.0.0.1').on('error', () => {})
export const where = new Error('here').stack
`,
  'heavy.mjs': spin(1_000),
  'plain.cjs': `'use strict'
const strict = (function () { return this === undefined })()
require('./inner.cjs')
exports.name = strict ? 'strict' : 'sloppy'
`,
  'inner.cjs': `${spin(100)}return\n`,
}

function find(tree: readonly ImportCost[], module: string): ImportCost | undefined {
  for (const cost of tree) {
    const found = cost.module === module ? cost : find(cost.imports, module)
    if (found !== undefined) return found
  }
  return undefined
}

test('a profiled boot reports the cost and the side effects of every import, in the log and in the status', async () => {
  await using server = await startServer({ files: FILES, settings: { workers: 1 }, flags: ['--boot-profile'] })
  await server.log('boot-profile')
  const status = await server.until('the report', ({ workers }) => workers[0]?.modules.boot !== undefined)
  const [worker] = status.workers
  assert.ok(worker)
  const { worst, profile } = worker.modules.boot as BootReport
  const costly = worst.slice(0, 3).map(({ module }) => module)
  assert.equal(costly[0], 'heavy.mjs')
  // routes.mjs, which starts a process, may take longer.
  assert.ok(costly.includes('inner.cjs'), String(costly))

  const app = find(profile.tree, 'app.mjs')
  const routes = find(profile.tree, 'routes.mjs')
  const heavy = find(profile.tree, 'heavy.mjs')
  assert.ok(app && routes && heavy)
  assert.ok(heavy.selfMs >= 999, 'what it spun for')
  assert.ok(routes.totalMs >= heavy.totalMs + routes.selfMs - 1)
  assert.ok(app.totalMs >= routes.totalMs)
  assert.deepEqual(
    find(app.imports, 'plain.cjs')?.imports.map(({ module }) => module),
    ['inner.cjs'],
  )
  const did = routes.sideEffects.join('; ')
  for (const deed of [
    /readFileSync routes\.mjs/,
    /execFileSync true/,
    /interval 30s/,
    /socket to 127\.0\.0\.1:9/,
    /new Pool/,
  ]) {
    assert.match(did, deed)
  }
  assert.doesNotMatch(heavy.sideEffects.join(), /./)
})

test('profiling changes neither the behavior of the app nor its line numbers', async () => {
  const files = {
    ...FILES,
    'app.mjs':
      `${FILES['app.mjs'].replace('export default', "import { where } from './routes.mjs'\nexport default")}`.replace(
        'response.end(plain.name)',
        'response.end(plain.name + where)',
      ),
  }
  await using server = await startServer({ files, settings: { workers: 1 }, flags: ['--boot-profile'] })
  const body = await (await fetch(server.url)).text()
  assert.match(body, /^strict/)
  assert.match(body, /routes\.mjs:12:/)
})

test('a slow boot is logged with the imports that took longest', async () => {
  const files = { ...FILES, 'heavy.mjs': spin(3_000) }
  await using server = await startServer({
    files,
    settings: {
      workers: 1,
      slowBootThreshold: '1s',
      stallReportAfter: '20s',
      stallInterruptAfter: '21s',
      stallKillAfter: '22s',
      frozenKillAfter: '25s',
    },
  })
  const { level, bootMs, imports } = await server.log('boot-slow')
  assert.equal(level, 'info')
  assert.ok(Number(bootMs) >= 1_000, `${bootMs} ms`)
  const [worst] = imports as readonly CostlyImport[]
  assert.match(worst?.module ?? '', /heavy\.mjs$/)
  assert.ok((worst?.selfMs ?? 0) >= 500, `${worst?.selfMs} ms`)
})

/** An endless loop that leaves the processor to the other tests. */
const HANG = 'for (const flag = new Int32Array(new SharedArrayBuffer(4)); ; ) Atomics.wait(flag, 0, 0, 20)'

test('a boot that hangs is reported with the importers of the module in which it hangs', async () => {
  const files = { ...FILES, 'heavy.mjs': `${HANG}\n` }
  // Long enough to reach that module on a busy machine.
  await using server = await startServer({ files, settings: { workers: 1, bootTimeout: '20s' }, ready: false })
  assert.equal((await within('the arbiter to give up', server.exit, 60_000)).code, 3)
  const [incident] = await server.incidents()
  assert.equal(incident?.kind, 'boot')
  assert.equal(incident.outcome, 'killed')
  const frame = incident.evidence.at(-1)?.stack?.[0]
  assert.match(`${frame?.file}:${frame?.line}`, /\/heavy\.mjs:1$/)
  assert.deepEqual(
    incident.imports?.map((file) => file.split('/').at(-1)),
    ['heavy.mjs', 'routes.mjs', 'app.mjs'],
  )
})

test('a setting of another server is logged as ignored', async () => {
  await using server = await startServer({
    files: { 'app.mjs': 'export default (request, response) => response.end()' },
    settings: { workers: 1 },
    env: { GUNICORN_TIMEOUT: '300' },
  })
  const { level, variable } = await server.log('foreign-variable')
  assert.deepEqual([level, variable], ['warn', 'GUNICORN_TIMEOUT'])
})
