import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { LogFields } from '../diagnostics/log.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import type { RuntimeToArbiter, RuntimeToWorker, ToWorker } from '../ipc/messages.ts'
import { resolveSettings } from '../settings/resolve.ts'
import type { Settings } from '../settings/settings.ts'
import { MessageRelay } from './message-relay.ts'
import { RuntimeSettings } from './runtime-settings.ts'
import { readSetFile, type SetValues } from './set-file.ts'

const NAME = 'cache.users.ttl'
let logged: LogFields[] = []
const log = {
  info: () => {},
  warn: (fields: LogFields): void => void logged.push(fields),
}

let stateDir = ''
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'punctual-hot-'))
  logged = []
})
afterEach(() => rmSync(stateDir, { recursive: true, force: true }))

/** A worker that applies changes; its values must be numbers. */
interface FakeWorker {
  value: string
  answers: boolean
  isBooting: boolean
  readonly received: RuntimeToWorker[]
  readonly settings: Extract<ToWorker, { type: 'settings' }>[]
}

class Bench {
  readonly relay = new MessageRelay()
  readonly workers = new Map<number, FakeWorker>()
  readonly changes: Settings[] = []
  readonly settings: RuntimeSettings

  constructor(set: SetValues = new Map(), directory: string = stateDir) {
    this.settings = new RuntimeSettings({
      base: resolveSettings({ flags: {}, env: {}, cwd: '/app', isTerminal: false, parallelism: 2 }),
      set,
      configFile: null,
      stateDir: directory,
      relay: this.relay,
      log,
      onChange: (settings) => void this.changes.push(settings),
    })
  }

  add(id: number, given: Partial<FakeWorker> = {}): FakeWorker {
    const worker: FakeWorker = { value: '5', answers: true, isBooting: false, received: [], settings: [], ...given }
    this.workers.set(id, worker)
    this.relay.addWorker(id, (message) => {
      if (message.type === 'settings') this.#receiveSettings(id, message)
      else if (message.type === 'relay') this.#receive(id, message.message as RuntimeToWorker)
    })
    if (!worker.isBooting) this.settings.handle(id, { type: 'ready', bootMs: 1, address: 'a', notes: [] })
    return worker
  }

  declare(id: number, name: string = NAME, refused: string | null = null): void {
    const value = this.workers.get(id)?.value ?? ''
    this.#send(id, { type: 'declare', name, value, standard: '5', refused })
  }

  #receive(id: number, message: RuntimeToWorker): void {
    const worker = this.workers.get(id)
    worker?.received.push(message)
    if (worker === undefined || !worker.answers) return
    const { ask } = message
    if (message.type === 'unset') worker.value = '5'
    else if (!/^\d+$/.test(message.text)) return this.#send(id, { type: 'answer', ask, ok: false, why: 'not a number' })
    else if (message.type === 'set') worker.value = message.text
    const value = message.type === 'check' ? String(Number(message.text)) : worker.value
    this.#send(id, { type: 'answer', ask, ok: true, value })
  }

  #receiveSettings(id: number, message: Extract<ToWorker, { type: 'settings' }>): void {
    const worker = this.workers.get(id)
    worker?.settings.push(message)
    if (worker?.answers) this.settings.handle(id, { type: 'settings-changed', ask: message.ask })
  }

  #send(id: number, message: RuntimeToArbiter): void {
    this.relay.handle(id, { type: 'relay', to: 'arbiter', topic: 'settings', message })
  }
}

const isRefused = (code: string, details: Readonly<Record<string, unknown>>) => (error: unknown) => {
  assert.ok(error instanceof PunctualError, String(error))
  assert.equal(error.code, code)
  assert.deepEqual(error.details, details)
  return true
}

test('a value is checked, saved, and set in every worker that declares it, in the notation of the app', async () => {
  const bench = new Bench()
  const [one, two, other] = [bench.add(1), bench.add(2), bench.add(3)]
  bench.declare(1)
  bench.declare(2)
  const { message, ...outcome } = await bench.settings.set({ [NAME]: '007' }, false)
  const changes = [{ name: NAME, value: '7', before: '5', after: '7' }]
  assert.deepEqual(outcome, { changes, confirmed: [1, 2], unconfirmed: [], isSaved: true })
  assert.deepEqual([one.value, two.value, other.received], ['7', '7', []])
  assert.equal((await readSetFile(stateDir)).values.get(NAME)?.value, '7')
  assert.deepEqual(bench.settings.forWorker().set, { [NAME]: '7' })
  assert.deepEqual(bench.settings.inForce().declared, [
    { name: NAME, values: ['7'], standard: '5', isSet: true, workers: 2 },
  ])
  assert.partialDeepStrictEqual(await bench.settings.unset([NAME]), {
    changes: [{ name: NAME, value: null, before: '7', after: '5' }],
    confirmed: [1, 2],
  })
  assert.equal(one.value, '5')
  assert.deepEqual(JSON.parse(readFileSync(join(stateDir, 'set.json'), 'utf8')), { version: 1, set: {} })
})

test('if one worker refuses a value, nothing is changed', async () => {
  const bench = new Bench()
  const one = bench.add(1)
  bench.declare(1)
  const set = bench.settings.set({ [NAME]: 'many', requestTimeout: '20s' }, false)
  const details = { name: NAME, value: 'many', worker: 1, why: 'not a number' }
  await assert.rejects(set, isRefused('PUNCTUAL_SETTINGS_INVALID', details))
  assert.deepEqual([one.value, bench.changes, bench.settings.setTexts()], ['5', [], {}])
})

test('a value that no worker can check is not set', async () => {
  const bench = new Bench()
  bench.add(1, { answers: false })
  bench.declare(1)
  const timedOut = isRefused('PUNCTUAL_COMMAND_TIMED_OUT', { name: NAME, value: '7', workers: [1] })
  await assert.rejects(bench.settings.set({ [NAME]: '7' }, false), timedOut)
})

test('a worker that exits during a request is not waited for', async () => {
  const bench = new Bench()
  bench.add(1)
  bench.add(2, { answers: false })
  bench.declare(1)
  bench.declare(2)
  const set = bench.settings.set({ [NAME]: '7' }, false)
  await new Promise((resolve) => setImmediate(resolve))
  bench.relay.removeWorker(2)
  assert.partialDeepStrictEqual(await set, { confirmed: [1], unconfirmed: [] })
})

test('a worker that declares an outdated value gets the current one', () => {
  const bench = new Bench(new Map([[NAME, { value: '7', at: '' }]]))
  const late = bench.add(1)
  bench.declare(1)
  assert.equal(late.value, '7')
  const early = bench.add(2, { value: '9' })
  bench.declare(2, 'cache.users.grace')
  assert.equal(early.value, '5')
  // A worker that has the value already, or refuses it, gets no message.
  const set = bench.add(3, { value: '7' })
  bench.declare(3)
  const stubborn = bench.add(4)
  bench.declare(4, NAME, 'not a number')
  assert.deepEqual([set.received, stubborn.received], [[], []])
})

test('settings are applied by the arbiter and all workers; booting workers are not waited for', async () => {
  const bench = new Bench()
  const [one, booting] = [bench.add(1), bench.add(2, { isBooting: true, answers: false })]
  const { changes, confirmed } = await bench.settings.set(
    { requestTimeout: 'unbounded', drainTimeout: 'unbounded', stopTimeout: 'unbounded' },
    false,
  )
  assert.deepEqual(changes[0], { name: 'requestTimeout', value: 'unbounded', before: '30s', after: 'unbounded' })
  assert.deepEqual([changes.length, confirmed], [3, [1]])
  assert.equal(bench.changes[0]?.requestTimeout, Number.POSITIVE_INFINITY)
  const change = { requestTimeout: 'unbounded', drainTimeout: 'unbounded', stopTimeout: 'unbounded' }
  assert.deepEqual(one.settings[0], { type: 'settings', ask: 1, change, by: 'worker' })
  assert.deepEqual(booting.settings[0]?.change, change)
  await bench.settings.set({ stallInterruptAfter: '9s' }, false)
  assert.deepEqual(one.settings[1], {
    type: 'settings',
    ask: 2,
    change: { stallInterruptAfter: 9_000 },
    by: 'watchdog',
  })
  assert.equal(bench.settings.forWorker().settings.stallInterruptAfter, 9_000)
})

test('changes run one after the other, each checked against the result of the last', async () => {
  const bench = new Bench()
  bench.add(1)
  const [wide, narrow] = await Promise.allSettled([
    bench.settings.set({ requestTimeout: '60s', drainTimeout: '60s', stopTimeout: '70s' }, false),
    bench.settings.set({ drainTimeout: '40s' }, false),
  ])
  assert.equal(wide.status, 'fulfilled')
  assert.equal(narrow.status, 'rejected')
})

test('a value that cannot be saved is in effect, and the failure is reported', async () => {
  const bench = new Bench(new Map(), join(stateDir, 'missing'))
  const one = bench.add(1)
  bench.declare(1)
  assert.equal((await bench.settings.set({ [NAME]: '7' }, false)).isSaved, false)
  assert.deepEqual(logged, [{ event: 'set-file-unwritable', code: 'ENOENT' }])
  assert.equal(one.value, '7')
})
