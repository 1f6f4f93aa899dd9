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
import { Exchange } from './exchange.ts'
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

/** A worker that does as it is told, as far as it can: numbers are all it takes. */
interface FakeWorker {
  value: string
  answers: boolean
  isBooting: boolean
  readonly heard: RuntimeToWorker[]
  readonly orders: Extract<ToWorker, { type: 'settings' }>[]
}

class Bench {
  readonly exchange = new Exchange()
  readonly workers = new Map<number, FakeWorker>()
  readonly adopted: Settings[] = []
  readonly hot: RuntimeSettings

  constructor(set: SetValues = new Map(), directory: string = stateDir) {
    this.hot = new RuntimeSettings({
      base: resolveSettings({ flags: {}, env: {}, cwd: '/app', isTerminal: false, parallelism: 2 }),
      set,
      configFile: null,
      stateDir: directory,
      exchange: this.exchange,
      log,
      adopt: (settings) => void this.adopted.push(settings),
      order: (worker, message) => this.#order(worker, message),
      workers: () => [...this.workers].map(([id, { isBooting }]) => ({ id, isBooting })),
    })
  }

  add(id: number, given: Partial<FakeWorker> = {}): FakeWorker {
    const worker: FakeWorker = { value: '5', answers: true, isBooting: false, heard: [], orders: [], ...given }
    this.workers.set(id, worker)
    this.exchange.joined(id, (_topic, message) => this.#say(id, message as RuntimeToWorker))
    return worker
  }

  declare(id: number, name: string = NAME, refused: string | null = null): void {
    const value = this.workers.get(id)?.value ?? ''
    this.#told(id, { type: 'declare', name, value, standard: '5', refused })
  }

  #say(id: number, message: RuntimeToWorker): void {
    const worker = this.workers.get(id)
    worker?.heard.push(message)
    if (worker === undefined || !worker.answers) return
    const { ask } = message
    if (message.type === 'unset') worker.value = '5'
    else if (!/^\d+$/.test(message.text)) return this.#told(id, { type: 'answer', ask, ok: false, why: 'no number' })
    else if (message.type === 'set') worker.value = message.text
    const value = message.type === 'check' ? String(Number(message.text)) : worker.value
    this.#told(id, { type: 'answer', ask, ok: true, value })
  }

  #order(id: number, message: ToWorker): void {
    const worker = this.workers.get(id)
    if (message.type !== 'settings' || worker === undefined) return
    worker.orders.push(message)
    if (worker.answers) this.hot.told(id, { type: 'settings-changed', ask: message.ask })
  }

  #told(id: number, message: RuntimeToArbiter): void {
    this.exchange.told(id, { type: 'relay', to: 'arbiter', topic: 'settings', message })
  }
}

const isRefused = (code: string, details: Readonly<Record<string, unknown>>) => (error: unknown) => {
  assert.ok(error instanceof PunctualError, String(error))
  assert.equal(error.code, code)
  assert.deepEqual(error.details, details)
  return true
}

test('a value is checked, written down, and set in every worker that has it, as the app writes it', async () => {
  const bench = new Bench()
  const [one, two, other] = [bench.add(1), bench.add(2), bench.add(3)]
  bench.declare(1)
  bench.declare(2)
  const { message, ...outcome } = await bench.hot.set({ [NAME]: '007' }, false)
  const changes = [{ name: NAME, value: '7', before: '5', after: '7' }]
  assert.deepEqual(outcome, { changes, confirmed: [1, 2], unconfirmed: [], isSaved: true })
  assert.deepEqual([one.value, two.value, other.heard], ['7', '7', []])
  assert.equal((await readSetFile(stateDir)).values.get(NAME)?.value, '7')
  assert.deepEqual(bench.hot.forWorker().set, { [NAME]: '7' })
  assert.deepEqual(bench.hot.inForce().declared, [
    { name: NAME, values: ['7'], standard: '5', isSet: true, workers: 2 },
  ])
  assert.partialDeepStrictEqual(await bench.hot.unset([NAME]), {
    changes: [{ name: NAME, value: null, before: '7', after: '5' }],
    confirmed: [1, 2],
  })
  assert.equal(one.value, '5')
  assert.deepEqual(JSON.parse(readFileSync(join(stateDir, 'set.json'), 'utf8')), { version: 1, set: {} })
})

test('if one worker refuses, none is changed', async () => {
  const bench = new Bench()
  const one = bench.add(1)
  bench.declare(1)
  const set = bench.hot.set({ [NAME]: 'many', requestTimeout: '20s' }, false)
  const details = { name: NAME, value: 'many', worker: 1, why: 'no number' }
  await assert.rejects(set, isRefused('PUNCTUAL_SETTINGS_INVALID', details))
  assert.deepEqual([one.value, bench.adopted, bench.hot.setTexts()], ['5', [], {}])
})

test('with nobody to say whether a value applies, it is not set', async () => {
  const bench = new Bench()
  bench.add(1, { answers: false })
  bench.declare(1)
  const timedOut = isRefused('PUNCTUAL_COMMAND_TIMED_OUT', { name: NAME, value: '7', workers: [1] })
  await assert.rejects(bench.hot.set({ [NAME]: '7' }, false), timedOut)
})

test('a worker that leaves while it is asked is not waited for', async () => {
  const bench = new Bench()
  bench.add(1)
  bench.add(2, { answers: false })
  bench.declare(1)
  bench.declare(2)
  const set = bench.hot.set({ [NAME]: '7' }, false)
  await new Promise((resolve) => setImmediate(resolve))
  bench.exchange.left(2)
  assert.partialDeepStrictEqual(await set, { confirmed: [1], unconfirmed: [] })
})

test('a worker that has another value than what is set, or was unset meanwhile, is told', () => {
  const bench = new Bench(new Map([[NAME, { value: '7', at: '' }]]))
  const late = bench.add(1)
  bench.declare(1)
  assert.equal(late.value, '7')
  const early = bench.add(2, { value: '9' })
  bench.declare(2, 'cache.users.grace')
  assert.equal(early.value, '5')
  // One that has it already, or does not take it, is left alone.
  const set = bench.add(3, { value: '7' })
  bench.declare(3)
  const stubborn = bench.add(4)
  bench.declare(4, NAME, 'no number')
  assert.deepEqual([set.heard, stubborn.heard], [[], []])
})

test('settings go to the arbiter and to all workers; one that boots is told and not waited for', async () => {
  const bench = new Bench()
  const [one, booting] = [bench.add(1), bench.add(2, { isBooting: true, answers: false })]
  const { changes, confirmed } = await bench.hot.set(
    { requestTimeout: 'unbounded', drainTimeout: 'unbounded', stopTimeout: 'unbounded' },
    false,
  )
  assert.deepEqual(changes[0], { name: 'requestTimeout', value: 'unbounded', before: '30s', after: 'unbounded' })
  assert.deepEqual([changes.length, confirmed], [3, [1]])
  assert.equal(bench.adopted[0]?.requestTimeout, Number.POSITIVE_INFINITY)
  const change = { requestTimeout: 'unbounded', drainTimeout: 'unbounded', stopTimeout: 'unbounded' }
  assert.deepEqual(one.orders[0], { type: 'settings', ask: 1, change, by: 'worker' })
  assert.deepEqual(booting.orders[0]?.change, change)
  await bench.hot.set({ stallInterruptAfter: '9s' }, false)
  assert.deepEqual(one.orders[1], { type: 'settings', ask: 2, change: { stallInterruptAfter: 9_000 }, by: 'watchdog' })
  assert.equal(bench.hot.forWorker().settings.stallInterruptAfter, 9_000)
})

test('changes come one after the other, each checked against what the last has left', async () => {
  const bench = new Bench()
  bench.add(1)
  const [wide, narrow] = await Promise.allSettled([
    bench.hot.set({ requestTimeout: '60s', drainTimeout: '60s', stopTimeout: '70s' }, false),
    bench.hot.set({ drainTimeout: '40s' }, false),
  ])
  assert.equal(wide.status, 'fulfilled')
  assert.equal(narrow.status, 'rejected')
})

test('a disk that does not take it is said, and the value holds all the same', async () => {
  const bench = new Bench(new Map(), join(stateDir, 'gone'))
  const one = bench.add(1)
  bench.declare(1)
  assert.equal((await bench.hot.set({ [NAME]: '7' }, false)).isSaved, false)
  assert.deepEqual(logged, [{ event: 'set-file-unwritable', code: 'ENOENT' }])
  assert.equal(one.value, '7')
})
