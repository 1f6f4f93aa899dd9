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

/** On disk or in memory: a machine that pauses for half a second makes a spool degrade. */
function assertAccepted(...results: readonly PushResult[]): void {
  for (const one of results) assert.ok(one === 'persisted' || one === 'memory', one)
}

/** A promise that the test resolves. */
function gate(): { readonly opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

test('items reach the handler in order, in batches, as JSON.parse returns them, each with its own id', async () => {
  const batches: { readonly items: unknown[]; readonly ids: readonly string[] }[] = []
  const { options } = quiet({ batch: 10 })
  const queue = durableQueue<object>(
    'basics',
    (items, { ids, attempt }) => {
      assert.equal(attempt, 1)
      batches.push({ items, ids })
    },
    options,
  )
  assert.equal(queue.name, 'basics')
  for (let n = 0; n < 25; n++) assertAccepted(queue.push({ n, at: new Date(0), nothing: undefined }))
  assert.equal(batches.length, 0)
  assert.equal(await queue.flush(LIMIT), true)
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
  const { depth, bytes, accepted, delivered, batches: calls } = queue.stats()
  assert.deepEqual(
    { depth, bytes, accepted, delivered, calls },
    { depth: 0, bytes: 0, accepted: 25, delivered: 25, calls: 3 },
  )
  await queue.close(LIMIT)
})

test('items gather for linger, and a full batch is delivered at once', async () => {
  const sizes: number[] = []
  const queue = durableQueue(
    'linger',
    (items) => void sizes.push(items.length),
    quiet({ batch: 3, linger: '1h' }).options,
  )
  queue.push(1)
  queue.push(2)
  await setTimeout(30)
  assert.deepEqual(sizes, [])
  queue.push(3)
  await until('the full batch', () => sizes.length === 1)
  queue.push(4)
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(sizes, [3, 1])
  await queue.close(LIMIT)
})

test('a handler runs outside of the request that pushed, in a scope with its own deadline', async () => {
  const ofApp = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const queue = durableQueue(
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
      queue.push('item')
    }),
  )
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(seen, [undefined, 0, true])
  await queue.close(LIMIT)
})

test('a full queue drops the newest items, reports that at once, and counts them', async () => {
  const held = gate()
  const seen: unknown[] = []
  const { options, events } = quiet({ maxItems: 3, linger: 0 })
  const queue = durableQueue(
    'newest',
    async (items) => {
      await held.opened
      seen.push(...items)
    },
    options,
  )
  const results = [1, 2, 3, 4, 5].map((item) => queue.push(item))
  assertAccepted(...results.slice(0, 3))
  assert.deepEqual(results.slice(3), ['dropped', 'dropped'])
  assert.equal(queue.push(6), 'dropped')
  assert.deepEqual(
    events.filter(({ type }) => type === 'dropped').map(({ details }) => details),
    [{ drops: { full: 1 }, error: null }],
  )
  held.open()
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(seen, [1, 2, 3])
  assert.deepEqual(queue.stats().drops, { full: 3 })
  await queue.close(LIMIT)
})

test('a full queue with drop-oldest drops the oldest items that no handler has', async () => {
  const held = gate()
  const seen: unknown[] = []
  const queue = durableQueue(
    'oldest',
    async (items) => {
      await held.opened
      seen.push(...items)
    },
    quiet({ maxItems: 3, linger: 0, batch: 1, onFull: 'drop-oldest' }).options,
  )
  queue.push(1)
  await until('the handler to have the first', () => queue.stats().inHandler !== null)
  assertAccepted(...[2, 3, 4, 5].map((item) => queue.push(item)))
  held.open()
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(seen, [1, 4, 5])
  assert.deepEqual(queue.stats().drops, { oldest: 2 })
  await queue.close(LIMIT)
})

test("a full queue with reject returns 'rejected'", async () => {
  const queue = durableQueue('reject', () => {}, quiet({ maxItems: 1, linger: '1h', onFull: 'reject' }).options)
  assertAccepted(queue.push(1))
  assert.equal(queue.push(2), 'rejected')
  assert.equal(queue.push(3), 'rejected')
  assert.deepEqual(queue.stats().drops, { rejected: 2 })
  await queue.close(LIMIT)
})

test('maxBytes limits a queue too', async () => {
  const queue = durableQueue('bytes', () => {}, quiet({ maxBytes: '1KiB', linger: '1h' }).options)
  assertAccepted(queue.push('x'.repeat(600)))
  assert.equal(queue.push('x'.repeat(600)), 'dropped')
  assert.equal(queue.push('x'.repeat(2_000)), 'dropped')
  assert.deepEqual(queue.stats().drops, { full: 1, 'too-large': 1 })
  await queue.close(LIMIT)
})

test('an item that is not JSON-serializable is dropped and counted, and push does not throw', async () => {
  const { options, events } = quiet()
  const queue = durableQueue<unknown>('not-serializable', () => {}, options)
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  const bad = [cycle, 1n, undefined, () => {}, Symbol('x'), { toJSON: () => assert.fail('no') }]
  for (const item of bad) assert.equal(queue.push(item), 'dropped')
  assert.deepEqual(queue.stats().drops, { 'not-serializable': bad.length })
  const reported = events.find(({ type }) => type === 'dropped')
  assert.deepEqual(reported?.details.drops, { 'not-serializable': 1 })
  assert.match(String(reported?.details.error), /^TypeError: /)
  await queue.close(LIMIT)
})

test('with durability disk, synced rejects while items are in memory only, and resolves once they are on disk', async () => {
  const { options, events } = quiet({ durability: 'disk', linger: '1h' })
  const inTheWay = join(stateDir, 'spool', 'power')
  mkdirSync(join(stateDir, 'spool'), { recursive: true })
  writeFileSync(inTheWay, '')
  const queue = durableQueue('power', () => {}, options)
  assert.equal(queue.push(1), 'memory')
  await assert.rejects(queue.synced(), (error: PunctualError) => {
    assert.equal(error.code, 'PUNCTUAL_QUEUE_NOT_SYNCED')
    assert.equal(error.details?.inMemory, 1)
    assert.match(String(error.details?.reason), /^(EEXIST|ENOTDIR)$/)
    return true
  })
  rmSync(inTheWay)
  await until('it to be written down', () => queue.stats().inMemory === 0 && queue.stats().degraded === null)
  assert.ok(events.some(({ type }) => type === 'recovered'))
  await queue.synced(LIMIT)
  await queue.close(LIMIT)
})

test('synced waits no longer than its timeout', async () => {
  const queue = durableQueue('power-limit', () => {}, quiet({ durability: 'disk', linger: '1h' }).options)
  await until('an item on disk', () => queue.push(1) === 'persisted')
  await assert.rejects(queue.synced(0), WaitTimeoutError)
  await queue.close(LIMIT)
})

test('a persisted item is on disk before push returns', async () => {
  const queue = durableQueue<string>('on-disk', () => {}, quiet({ linger: '1h' }).options)
  await until('an item on disk', () => queue.push('a deferred item') === 'persisted')
  const home = join(stateDir, 'spool', 'on-disk')
  const files = readdirSync(home, { recursive: true }).map(String)
  const segments = files.filter((name) => name.endsWith('.spool')).map((name) => readFileSync(join(home, name), 'utf8'))
  assert.ok(segments.some((text) => text.includes('"a deferred item"')))
  await queue.close(LIMIT)
})

test('a queue in memory writes no spool, and reports what is left at its end as lost', async () => {
  const { options, events } = quiet({ durability: 'memory', linger: '1h', backOff: { from: '1h', to: '1h' } })
  let fails = false
  const queue = durableQueue(
    'memory',
    () => {
      if (fails) throw new Error('no')
    },
    options,
  )
  assert.equal(queue.push('x'), 'memory')
  assert.equal(await queue.flush(LIMIT), true)
  fails = true
  assert.equal(queue.push('y'), 'memory')
  assert.equal(queue.push('z'), 'memory')
  assert.equal(queue.stats().inMemory, 2)
  await queue.synced()
  await queue.close(20)
  assert.deepEqual(queue.stats().drops, { lost: 2 })
  assert.ok(events.some(({ type, severity }) => type === 'lost' && severity === 'error'))
  assert.equal(existsSync(join(stateDir, 'spool', 'memory')), false)
})

test('items of a closed queue are recovered by the next queue of its name, in order and before new ones', async () => {
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
  const queue: DurableQueue<unknown> = durableQueue('again', (items) => void seen.push(...items), options)
  for (let n = 2_500; n < 3_000; n++) queue.push(n)
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(
    seen,
    Array.from({ length: 3_000 }, (_, n) => n),
  )
  assert.equal(queue.stats().adopted, 2_500)
  assert.deepEqual(events.find(({ type }) => type === 'adopted')?.details, { items: 2_500, owner: 'this process' })
  await queue.close(LIMIT)
  const left = readdirSync(join(stateDir, 'spool', 'again'), { recursive: true, withFileTypes: true })
  assert.deepEqual(
    left.filter((entry) => entry.isFile()).map(({ name }) => name),
    [],
  )
})

test('a name in use, or a handler that is not a function, is refused', async () => {
  const queue = durableQueue('taken', () => {}, quiet().options)
  assert.throws(() => durableQueue('taken', () => {}, quiet().options), {
    code: 'PUNCTUAL_USAGE',
    details: { queue: 'taken', reason: 'name-taken' },
  })
  assert.throws(() => durableQueue('no-handler', undefined as never), {
    code: 'PUNCTUAL_INVALID_OPTION',
    details: { option: 'handler', given: undefined },
  })
  await queue.close(LIMIT)
  await durableQueue('taken', () => {}, quiet().options).close(LIMIT)
})

test('an item that waits too long is reported once, and once when that is over', async () => {
  const held = gate()
  const { options, events } = quiet({ warnAge: '10ms', linger: 0 })
  const queue = durableQueue('late', () => held.opened, options)
  queue.push('x')
  await until('the warning', () => events.some(({ type }) => type === 'late'))
  assert.equal(queue.stats().late, true)
  held.open()
  await until('its end', () => events.some(({ type }) => type === 'in-time'))
  assert.deepEqual(
    events.map(({ type }) => type).filter((type) => type === 'late' || type === 'in-time'),
    ['late', 'in-time'],
  )
  await queue.close(LIMIT)
})

test('with a concurrency of two, two calls run at a time, and no more over all queues', async () => {
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
  for (const queue of queues) for (let n = 0; n < 3; n++) queue.push(n)
  await until('two calls', () => running === 2)
  await setTimeout(20)
  assert.equal(running, 2)
  held.open()
  for (const queue of queues) assert.equal(await queue.flush(LIMIT), true)
  assert.equal(most, 2)
  for (const queue of queues) await queue.close(LIMIT)
})
