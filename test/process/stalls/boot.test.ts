import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { request } from '../support/client.ts'
import { printedCode } from '../support/printed-error.ts'
import { startServer } from '../support/server.ts'
import { within } from '../support/until.ts'
import { onEveryNode } from './every-node.ts'
import { frameIn, markedLine } from './source-line.ts'

const APPS = join(import.meta.dirname, 'apps')
const TSC = join(import.meta.dirname, '../../../node_modules/.bin/tsc')
const LIMITS = {
  workers: 1,
  stallReportAfter: '300ms',
  stallInterruptAfter: '600ms',
  stallKillAfter: '1s',
  frozenKillAfter: '20s',
}

/** The compiler removes the types, which moves every line below them. */
const TYPESCRIPT = `import http from 'node:http'

interface Order {
  readonly id: number
  readonly lines: readonly string[]
}

export let turns = 0

function price(order: Order): void {
  while (order.lines.length > 0) turns++ // here: compiled
}

const server = http.createServer((_request, response) => {
  price({ id: 1, lines: ['one'] })
  response.end()
})
server.listen(Number(process.env.PORT), process.env.HOST)
`

onEveryNode('a stall is explained during the boot and in compiled code', (node) => {
  test('an app that spins while it loads is killed at bootTimeout only, and explained', async () => {
    const entry = join(APPS, 'spins-at-load.ts')
    const settings = { ...LIMITS, bootTimeout: '8s' }
    await using server = await startServer({ entry, settings, node: node.binary, ready: false })
    const exit = await within('the arbiter to give up', server.exit)
    assert.equal(exit.code, 3)
    assert.equal(printedCode(server.output), 'PUNCTUAL_BOOT_FAILED')
    const incidents = await server.incidents()
    assert.equal(incidents.length, 1)
    const [incident] = incidents
    node.note('a spin while the app loads', incident?.outcome ?? 'none')
    assert.equal(incident?.kind, 'boot')
    assert.equal(incident.outcome, 'killed')
    assert.equal(incident.evidence.at(-1)?.stage, 'boot')
    assert.ok((incident.stalledForMs ?? 0) >= 8_000, 'it had the whole limit')
    const frame = frameIn(incident, entry)
    assert.deepEqual([frame?.function, frame?.line], ['readConfiguration', markedLine(entry, 'load').line])
    assert.equal(incident.evidence.at(-1)?.kernel?.doing, 'spinning')
  })

  test('a stall in compiled code shows the line of the source', async () => {
    const files = { 'app.ts': TYPESCRIPT, 'ok.js': '' }
    await using server = await startServer({
      files,
      entry: 'dist/app.js',
      settings: { ...LIMITS, stallKillAfter: '8s' },
      node: node.binary,
      prepare: (directory) => compile(directory),
    })
    const compiled = readFileSync(join(server.directory.path, 'dist/app.js'), 'utf8').split('\n')
    const written = markedLine(join(server.directory.path, 'app.ts'), 'compiled').line
    assert.ok(!compiled[written - 1]?.includes('here: compiled'), 'the compiler has moved the line')
    assert.equal((await request(server.url)).status, 503)
    const incident = await server.incident('interrupted', ({ outcome }) => outcome === 'interrupted')
    node.note('a spin in compiled TypeScript', incident.outcome)
    const frame = frameIn(incident, join(server.directory.path, 'app.ts'))
    assert.deepEqual([frame?.function, frame?.line], ['price', written])
    const { request: named } = incident.evidence.at(-1) ?? {}
    assert.deepEqual({ method: named?.method, target: named?.target }, { method: 'GET', target: '/' })
  })
})

function compile(directory: string): void {
  const options = ['--sourceMap', '--outDir', 'dist', '--target', 'es2023', '--module', 'nodenext', '--types', 'node']
  execFileSync(TSC, [...options, '--skipLibCheck', '--ignoreConfig', 'app.ts'], { cwd: directory, stdio: 'pipe' })
}
