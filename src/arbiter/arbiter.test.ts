import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, test } from 'node:test'
import { IncidentStore } from '../diagnostics/incident-store.ts'
import { createLog, type Log } from '../diagnostics/log.ts'
import { ms } from '../resilience/duration.ts'
import { resolveSettings } from '../settings/resolve.ts'
import { Installation } from '../system/installation.ts'
import { Arbiter } from './arbiter.ts'
import type { Action, Event } from './events.ts'
import type { ServiceManager } from './service-manager.ts'

const LIMIT = ms(10_000)
const SILENT: ServiceManager = {
  ready: () => {},
  reloading: () => {},
  stopping: () => {},
  status: () => {},
  close: async () => {},
}

let stateDir = ''
let logged: Record<string, unknown>[] = []

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'punctual-arbiter-'))
  logged = []
})
afterEach(() => rmSync(stateDir, { recursive: true, force: true }))

/** An arbiter without workers whose decisions are made by `react`. */
function anArbiter(
  react: (event: Event) => readonly Action[],
  serviceManager: ServiceManager = SILENT,
): { readonly arbiter: Arbiter; readonly store: IncidentStore; readonly log: Log } {
  const base = resolveSettings({ flags: { stateDir }, env: {}, cwd: '/app', isTerminal: false, parallelism: 2 })
  const stream = new PassThrough()
  stream.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.trim().split('\n')) logged.push(JSON.parse(line) as Record<string, unknown>)
  })
  const log = createLog({ level: 'info', format: 'json', stream })
  const store = new IncidentStore({ ...base.settings, log })
  const arbiter = new Arbiter({
    base,
    set: new Map(),
    configFile: null,
    version: '0.0.0',
    workerConfig: { entry: '/app/app.js', appArguments: [], appFlags: [], chosen: [] },
    releases: false,
    name: 'app.js',
    log,
    store,
    serviceManager,
    cwd: '/app',
    installation: new Installation('/app'),
    decide: (state, event) => ({ state, actions: react(event) }),
  })
  return { arbiter, store, log }
}

test('an error thrown by decide ends the arbiter with exit code 1 and an incident', async () => {
  const handled: string[] = []
  const { arbiter, store, log } = anArbiter((event) => {
    handled.push(event.type)
    if (event.type === 'command') throw new TypeError('odd')
    return []
  })
  const run = arbiter.run()
  const outcomes = await Promise.all([arbiter.scale({ to: 3 }), arbiter.reload()])
  const end = await run
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok || outcome.code),
    ['PUNCTUAL_INTERNAL_ERROR', 'PUNCTUAL_INTERNAL_ERROR'],
  )
  assert.partialDeepStrictEqual(end, { code: 1, error: { name: 'TypeError', message: 'odd' } })
  assert.deepEqual(handled, ['start', 'command'])
  assert.equal(arbiter.status().ready, false)
  await store.flush(LIMIT)
  const [summary] = await store.list()
  assert.partialDeepStrictEqual(await store.read(summary?.id ?? ''), {
    kind: 'internal-error',
    worker: null,
    outcome: 'exited',
    during: 'command',
    error: { name: 'TypeError', message: 'odd' },
  })
  await log.close(LIMIT)
  assert.partialDeepStrictEqual(logged.at(-1), { level: 'fatal', event: 'incident', incident: summary?.id })
})

test('an announcement that fails is logged, and later actions are performed', async () => {
  const serviceManager = {
    ...SILENT,
    status: () => {
      throw new Error('no systemd')
    },
  }
  const { arbiter, log } = anArbiter((event) => {
    if (event.type === 'start') return [{ type: 'announce', what: { of: 'starting', workers: 2 } }]
    if (event.type !== 'command') return []
    return [
      { type: 'reply', command: event.id, ok: true, message: 'stopping' },
      { type: 'exit', code: 0, why: 'asked' },
    ]
  }, serviceManager)
  const run = arbiter.run()
  assert.deepEqual(await arbiter.stop(), { ok: true, message: 'stopping' })
  assert.equal((await run).code, 0)
  await log.close(LIMIT)
  const failed = logged.filter(({ event }) => event === 'action-failed')
  assert.deepEqual(
    failed.map(({ level, action }) => [level, action]),
    [['error', 'announce']],
  )
})
