import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { until } from '../../test/process/support/until.ts'
import type { PunctualError } from '../errors/punctual-error.ts'
import { WaitTimeoutError } from '../resilience/abort-reason.ts'
import { currentWaits } from '../resilience/wait-scope.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import { type DurableQueue, durableQueue } from './durable-queue.ts'
import type { PushResult } from './queue.ts'
import type { QueueEvent } from './queue-events.ts'
import type { DurableQueueOptions } from './queue-options.ts'

const stateDir = mkdtempSync(join(tmpdir(), 'punctual-defer-'))
after(() => rmSync(stateDir, { recursive: true, force: true }))

const LIMIT = '30s'
const SHORT = { from: 1, to: 5 } as const

function quiet(options: DurableQueueOptions = {}): {
  readonly options: DurableQueueOptions
  readonly events: QueueEvent[]
} {
  const events: QueueEvent[] = []
  return { options: { stateDir, backOff: SHORT, onEvent: (event) => events.push(event), ...options }, events }
}

/** On disk, or in memory alone: a machine that stops for half a second makes a spool degrade. */
function assertAccepted(...results: readonly PushResult[]): void {
  for (const one of results) assert.ok(one === 'persisted' || one === 'memory', one)
}

/** What a gate holds goes on when it is opened. */
function gate(): { readonly opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

test('what was deferred reaches the handler in order, in batches, as JSON makes it, each with an id of its own', async () => {
  const batches: { readonly items: unknown[]; readonly ids: readonly string[] }[] = []
  const { options } = quiet({ batch: 10 })
  const log = durableQueue<object>(
    'basics',
    (items, { ids, attempt }) => {
      assert.equal(attempt, 1)
      batches.push({ items, ids })
    },
    options,
  )
  assert.equal(log.name, 'basics')
  for (let n = 0; n < 25; n++) assertAccepted(log.push({ n, at: new Date(0), nothing: undefined }))
  assert.equal(batches.length, 0)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(
    batches.map(({ items }) => items.length),
    [10, 10, 5],
  )
  assert.deepEqual(
    batches.flatMap(({ items }) => items),
    Array.from({ length: 25 }, (_, n) => ({ n, at: '1970-01-01T00:00:00.000Z' })),
  )
  const ids = batches.flatMap((batch) => batch.ids)
  assert.equal(new Set(ids).size, 25)
  assert.deepEqual(ids, ids.toSorted())
  const { depth, bytes, accepted, delivered, batches: calls } = log.stats()
  assert.deepEqual(
    { depth, bytes, accepted, delivered, calls },
    { depth: 0, bytes: 0, accepted: 25, delivered: 25, calls: 3 },
  )
  await log.close(LIMIT)
})

test('items come together for as long as linger says, and a full batch goes at once', async () => {
  const sizes: number[] = []
  const log = durableQueue(
    'linger',
    (items) => void sizes.push(items.length),
    quiet({ batch: 3, linger: '1h' }).options,
  )
  log.push(1)
  log.push(2)
  await setTimeout(30)
  assert.deepEqual(sizes, [])
  log.push(3)
  await until('the full batch', () => sizes.length === 1)
  log.push(4)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(sizes, [3, 1])
  await log.close(LIMIT)
})

test('a handler runs outside of the request that deferred, in a scope with its own deadline', async () => {
  const ofApp = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const log = durableQueue(
    'scope',
    async () => {
      await setImmediate()
      const scope = currentWaits()
      seen.push(ofApp.getStore(), scope?.waits.recorded.length, Math.round(scope?.remaining ?? 0) > 1_000)
    },
    quiet({ timeout: '10s' }).options,
  )
  await ofApp.run('a request', () =>
    withDeadline('request', '1s', async () => {
      log.push('item')
    }),
  )
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(seen, [undefined, 0, true])
  await log.close(LIMIT)
})

test('a full queue drops the newest, says so at once, and counts them', async () => {
  const held = gate()
  const seen: unknown[] = []
  const { options, events } = quiet({ maxItems: 3, linger: 0 })
  const log = durableQueue(
    'newest',
    async (items) => {
      await held.opened
      seen.push(...items)
    },
    options,
  )
  const results = [1, 2, 3, 4, 5].map((item) => log.push(item))
  assertAccepted(...results.slice(0, 3))
  assert.deepEqual(results.slice(3), ['dropped', 'dropped'])
  assert.equal(log.push(6), 'dropped')
  assert.deepEqual(
    events.filter(({ type }) => type === 'dropped').map(({ details }) => details),
    [{ drops: { full: 1 }, error: null }],
  )
  held.open()
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(seen, [1, 2, 3])
  assert.deepEqual(log.stats().drops, { full: 3 })
  await log.close(LIMIT)
})

test('a full queue drops the oldest that no handler has yet', async () => {
  const held = gate()
  const seen: unknown[] = []
  const log = durableQueue(
    'oldest',
    async (items) => {
      await held.opened
      seen.push(...items)
    },
    quiet({ maxItems: 3, linger: 0, batch: 1, onFull: 'drop-oldest' }).options,
  )
  log.push(1)
  await until('the handler to have the first', () => log.stats().inHandler !== null)
  assertAccepted(...[2, 3, 4, 5].map((item) => log.push(item)))
  held.open()
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(seen, [1, 4, 5])
  assert.deepEqual(log.stats().drops, { oldest: 2 })
  await log.close(LIMIT)
})

test('a full queue that rejects tells its caller', async () => {
  const log = durableQueue('reject', () => {}, quiet({ maxItems: 1, linger: '1h', onFull: 'reject' }).options)
  assertAccepted(log.push(1))
  assert.equal(log.push(2), 'rejected')
  assert.equal(log.push(3), 'rejected')
  assert.deepEqual(log.stats().drops, { rejected: 2 })
  await log.close(LIMIT)
})

test('the bytes of a queue are bounded too', async () => {
  const log = durableQueue('bytes', () => {}, quiet({ maxBytes: '1KiB', linger: '1h' }).options)
  assertAccepted(log.push('x'.repeat(600)))
  assert.equal(log.push('x'.repeat(600)), 'dropped')
  assert.equal(log.push('x'.repeat(2_000)), 'dropped')
  assert.deepEqual(log.stats().drops, { full: 1, 'too-large': 1 })
  await log.close(LIMIT)
})

test('an item of which no JSON can be made is dropped and counted, and never throws', async () => {
  const { options, events } = quiet()
  const log = durableQueue<unknown>('not-serializable', () => {}, options)
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  const bad = [cycle, 1n, undefined, () => {}, Symbol('x'), { toJSON: () => assert.fail('no') }]
  for (const item of bad) assert.equal(log.push(item), 'dropped')
  assert.deepEqual(log.stats().drops, { 'not-serializable': bad.length })
  const told = events.find(({ type }) => type === 'dropped')
  assert.deepEqual(told?.details.drops, { 'not-serializable': 1 })
  assert.match(String(told?.details.error), /^TypeError: /)
  await log.close(LIMIT)
})

test('with durability disk, synced rejects while something is in memory alone, and resolves once it is on the disk', async () => {
  const { options, events } = quiet({ durability: 'disk', linger: '1h' })
  const inTheWay = join(stateDir, 'spool', 'power')
  mkdirSync(join(stateDir, 'spool'), { recursive: true })
  writeFileSync(inTheWay, '')
  const log = durableQueue('power', () => {}, options)
  assert.equal(log.push(1), 'memory')
  await assert.rejects(log.synced(), (error: PunctualError) => {
    assert.equal(error.code, 'PUNCTUAL_QUEUE_NOT_SYNCED')
    assert.equal(error.details?.inMemory, 1)
    assert.match(String(error.details?.reason), /^(EEXIST|ENOTDIR)$/)
    return true
  })
  rmSync(inTheWay)
  await until('it to be written down', () => log.stats().inMemory === 0 && log.stats().degraded === null)
  assert.ok(events.some(({ type }) => type === 'recovered'))
  await log.synced(LIMIT)
  await log.close(LIMIT)
})

test('synced waits no longer than its limit', async () => {
  const log = durableQueue('power-limit', () => {}, quiet({ durability: 'disk', linger: '1h' }).options)
  await until('an item on disk', () => log.push(1) === 'persisted')
  await assert.rejects(log.synced(0), WaitTimeoutError)
  await log.close(LIMIT)
})

test('what is said to be on disk is there before the caller goes on', async () => {
  const log = durableQueue<string>('on-disk', () => {}, quiet({ linger: '1h' }).options)
  await until('an item on disk', () => log.push('a deferred item') === 'persisted')
  const queue = join(stateDir, 'spool', 'on-disk')
  const files = readdirSync(queue, { recursive: true }).map(String)
  const segments = files
    .filter((name) => name.endsWith('.spool'))
    .map((name) => readFileSync(join(queue, name), 'utf8'))
  assert.ok(segments.some((text) => text.includes('"a deferred item"')))
  await log.close(LIMIT)
})

test('a queue in memory says that nothing survives, writes no spool, and what is left at its end is told as lost', async () => {
  const { options, events } = quiet({ durability: 'memory', linger: '1h', backOff: { from: '1h', to: '1h' } })
  let fails = false
  const log = durableQueue(
    'memory',
    () => {
      if (fails) throw new Error('no')
    },
    options,
  )
  assert.equal(log.push('x'), 'memory')
  assert.equal(await log.flush(LIMIT), true)
  fails = true
  assert.equal(log.push('y'), 'memory')
  assert.equal(log.push('z'), 'memory')
  assert.equal(log.stats().inMemory, 2)
  await log.synced()
  await log.close(20)
  assert.deepEqual(log.stats().drops, { lost: 2 })
  assert.ok(events.some(({ type, severity }) => type === 'lost' && severity === 'error'))
  assert.equal(existsSync(join(stateDir, 'spool', 'memory')), false)
})

test('what a closed queue has left is taken up by the next of its name, in order and before what is new', async () => {
  const failing = durableQueue(
    'again',
    () => {
      throw new Error('no')
    },
    quiet({ batch: 100, backOff: { from: '1h', to: '1h', jitter: 'decorrelated' } }).options,
  )
  for (let n = 0; n < 2_500; n++) assertAccepted(failing.push(n))
  await until('all to be on disk', () => failing.stats().inMemory === 0)
  await failing.close(0)
  assert.equal(failing.push('late'), 'dropped')
  const seen: unknown[] = []
  const { options, events } = quiet({ batch: 100 })
  const log: DurableQueue<unknown> = durableQueue('again', (items) => void seen.push(...items), options)
  for (let n = 2_500; n < 3_000; n++) log.push(n)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(
    seen,
    Array.from({ length: 3_000 }, (_, n) => n),
  )
  assert.equal(log.stats().adopted, 2_500)
  assert.deepEqual(events.find(({ type }) => type === 'adopted')?.details, { items: 2_500, owner: 'this process' })
  await log.close(LIMIT)
  const left = readdirSync(join(stateDir, 'spool', 'again'), { recursive: true, withFileTypes: true })
  assert.deepEqual(
    left.filter((entry) => entry.isFile()).map(({ name }) => name),
    [],
  )
})

test('a name that is taken, or a handler that is not a function, is refused', async () => {
  const log = durableQueue('taken', () => {}, quiet().options)
  assert.throws(() => durableQueue('taken', () => {}, quiet().options), {
    code: 'PUNCTUAL_USAGE',
    details: { queue: 'taken', reason: 'name-taken' },
  })
  assert.throws(() => durableQueue('no-handler', undefined as never), {
    code: 'PUNCTUAL_INVALID_OPTION',
    details: { option: 'handler', given: undefined },
  })
  await log.close(LIMIT)
  await durableQueue('taken', () => {}, quiet().options).close(LIMIT)
})

test('an item that waits too long is told once, and once when that is over', async () => {
  const held = gate()
  const { options, events } = quiet({ warnAge: '10ms', linger: 0 })
  const log = durableQueue('late', () => held.opened, options)
  log.push('x')
  await until('the warning', () => events.some(({ type }) => type === 'late'))
  assert.equal(log.stats().late, true)
  held.open()
  await until('its end', () => events.some(({ type }) => type === 'in-time'))
  assert.deepEqual(
    events.map(({ type }) => type).filter((type) => type === 'late' || type === 'in-time'),
    ['late', 'in-time'],
  )
  await log.close(LIMIT)
})

test('with a concurrency of two, two calls run at a time, and over all queues no more than two', async () => {
  const held = gate()
  let running = 0
  let most = 0
  const work = async (): Promise<void> => {
    most = Math.max(most, ++running)
    await held.opened
    running--
  }
  const { options } = quiet({ concurrency: 2, batch: 1, linger: 0 })
  const queues = ['left', 'right'].map((name) => durableQueue<number>(name, work, options))
  for (const log of queues) for (let n = 0; n < 3; n++) log.push(n)
  await until('two calls', () => running === 2)
  await setTimeout(20)
  assert.equal(running, 2)
  held.open()
  for (const log of queues) assert.equal(await log.flush(LIMIT), true)
  assert.equal(most, 2)
  for (const log of queues) await log.close(LIMIT)
})
