import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { UsageError } from '../errors/punctual-error.ts'
import { runWithin } from '../wait/run-within.ts'
import { currentWaits } from '../wait/wait-scope.ts'
import { within } from '../wait/within.ts'
import { DeadLetters } from './dead-letters.ts'
import { type Deferred, defer } from './defer.ts'
import type { DeferEvent } from './defer-events.ts'
import type { DeferOptions } from './defer-options.ts'
import { PermanentError } from './permanent-error.ts'

const stateDir = mkdtempSync(join(tmpdir(), 'punctual-defer-'))
after(() => rmSync(stateDir, { recursive: true, force: true }))

const LIMIT = '30s'
const SHORT = { from: 1, to: 5 } as const

function quiet(options: DeferOptions = {}): { readonly options: DeferOptions; readonly events: DeferEvent[] } {
  const events: DeferEvent[] = []
  return { options: { stateDir, backOff: SHORT, onEvent: (event) => events.push(event), ...options }, events }
}

async function until(what: string, look: () => boolean): Promise<void> {
  const end = performance.now() + 30_000
  while (!look()) {
    if (performance.now() > end) throw new Error(`waited 30 s for ${what}`)
    await setTimeout(5)
  }
}

/** What a gate holds goes on when it is opened. */
function gate(): { readonly opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

test('what was deferred reaches the handler in order, in batches, as JSON makes it, each with an id of its own', async () => {
  const batches: { readonly items: unknown[]; readonly ids: readonly string[] }[] = []
  const { options } = quiet({ batch: 10 })
  const log = defer<object>(
    'basics',
    (items, { ids, attempt }) => {
      assert.equal(attempt, 1)
      batches.push({ items, ids })
    },
    options,
  )
  assert.equal(log.name, 'basics')
  for (let n = 0; n < 25; n++) assert.equal(log({ n, at: new Date(0), nothing: undefined }), true)
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
  const log = defer('linger', (items) => void sizes.push(items.length), quiet({ batch: 3, linger: '1h' }).options)
  log(1)
  log(2)
  await setTimeout(30)
  assert.deepEqual(sizes, [])
  log(3)
  await until('the full batch', () => sizes.length === 1)
  log(4)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(sizes, [3, 1])
  await log.close(LIMIT)
})

test('a handler runs outside of the request that deferred, in a scope with its own deadline', async () => {
  const ofApp = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const log = defer(
    'scope',
    async () => {
      await setImmediate()
      const scope = currentWaits()
      seen.push(ofApp.getStore(), scope?.ledger.recorded.length, Math.round(scope?.remaining ?? 0) > 1_000)
    },
    quiet({ limit: '10s' }).options,
  )
  await ofApp.run('a request', () =>
    runWithin({ name: 'request', limit: '1s' }, async () => {
      log('item')
    }),
  )
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(seen, [undefined, 0, true])
  await log.close(LIMIT)
})

test('a handler that fails gets the same items again, after a back-off, with the number of the attempt', async () => {
  const calls: [readonly string[], number][] = []
  const { options, events } = quiet()
  const log = defer(
    'retry',
    (_, { ids, attempt }) => {
      calls.push([ids, attempt])
      if (attempt === 1) throw new Error('not yet')
    },
    options,
  )
  log(1)
  log(2)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(
    calls.map(([, attempt]) => attempt),
    [1, 2],
  )
  assert.deepEqual(calls[0]?.[0], calls[1]?.[0])
  const { failures, retries, delivered, lastError } = log.stats()
  assert.deepEqual(
    { failures, retries, delivered, lastError },
    { failures: 1, retries: 1, delivered: 2, lastError: null },
  )
  assert.match(
    events[0]?.message ?? '',
    /^deferred retry: the handler failed with 2 items, attempt 1: Error: not yet; the next attempt is in/,
  )
  await log.close(LIMIT)
})

test('poison items go to the dead letters alone, and everything around them is delivered once', async () => {
  const poison = new Set([7, 8, 333])
  const done: number[] = []
  const { options, events } = quiet({ attempts: 3 })
  const log = defer<number>(
    'poison',
    (items) => {
      if (items.some((item) => poison.has(item))) throw Object.assign(new Error('poisoned'), { code: 'E_POISON' })
      done.push(...items)
    },
    options,
  )
  for (let n = 0; n < 500; n++) log(n)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(
    done.toSorted((a, b) => a - b),
    Array.from({ length: 500 }, (_, n) => n).filter((n) => !poison.has(n)),
  )
  const letters = await new DeadLetters(join(stateDir, 'spool'), 'poison').list()
  assert.deepEqual(new Set(letters.map(({ item }) => item)), poison)
  for (const { error, attempts, firstFailedAt, lastFailedAt } of letters) {
    assert.deepEqual(error, { name: 'Error', message: 'poisoned', code: 'E_POISON' })
    assert.ok(attempts >= 3 && firstFailedAt <= lastFailedAt)
  }
  assert.equal(log.stats().deadLetters, 3)
  assert.ok(events.some(({ type, message }) => type === 'dead-letters' && message.includes('punctual deferred poison')))
  await log.close(LIMIT)
})

test('while a poison item is tried again the others go on', async () => {
  const done: unknown[] = []
  const { options } = quiet({ attempts: 1_000, backOff: { from: 1, to: '1h' } })
  const log = defer<string>(
    'others',
    (items) => {
      if (items.includes('poison')) throw new Error('no')
      done.push(...items)
    },
    options,
  )
  log('poison')
  await until('two failures alone', () => log.stats().failures >= 2)
  for (let n = 0; n < 100; n++) {
    const item = `item ${n}`
    log(item)
    await until(item, () => done.includes(item))
  }
  assert.equal(log.stats().depth, 1)
  await log.close(0)
})

test('an item that fails whatever is done has exactly as many attempts as were given', async () => {
  let calls = 0
  const log = defer(
    'attempts',
    () => {
      calls++
      throw new Error('no')
    },
    quiet({ attempts: 4 }).options,
  )
  log('x')
  assert.equal(await log.flush(LIMIT), true)
  assert.equal(calls, 4)
  assert.equal(log.stats().deadLetters, 1)
  await log.close(LIMIT)
})

test('when everything fails each item is given up by itself, and while nothing succeeds nothing is called without a back-off', async () => {
  const calls: number[] = []
  const { options } = quiet({ attempts: 3, backOff: { from: 20, to: 20, jitter: 'decorrelated' } })
  const log = defer<number>(
    'outage',
    () => {
      calls.push(performance.now())
      throw new Error('down')
    },
    options,
  )
  for (let n = 0; n < 8; n++) log(n)
  assert.equal(await log.flush(LIMIT), true)
  assert.equal(log.stats().deadLetters, 8)
  // One call, one more as it was, then two halves of each batch down to the items.
  assert.equal(calls.length, 16)
  for (let call = 1; call < calls.length; call++) assert.ok((calls[call] ?? 0) - (calls[call - 1] ?? 0) > 15)
  await log.close(LIMIT)
})

test('an error that says it is permanent sends the items it names to the dead letters at once, and spares the others', async () => {
  const calls: unknown[][] = []
  const log = defer<string>(
    'permanent',
    (items, { ids }) => {
      calls.push(items)
      const bad = ids.filter((_, index) => items[index]?.startsWith('bad'))
      if (bad.length > 0) throw new PermanentError('unknown user', { ids: bad })
    },
    quiet({ backOff: { from: '1h', to: '1h' } }).options,
  )
  for (const item of ['good 1', 'bad 1', 'good 2', 'bad 2']) log(item)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(calls, [
    ['good 1', 'bad 1', 'good 2', 'bad 2'],
    ['good 1', 'good 2'],
  ])
  assert.equal(log.stats().deadLetters, 2)
  await log.close(LIMIT)
})

test('a permanent error that names nobody is narrowed down without a back-off', async () => {
  const done: unknown[] = []
  const log = defer<number>(
    'permanent-all',
    (items) => {
      if (items.includes(3)) throw new PermanentError('no')
      done.push(...items)
    },
    quiet({ backOff: { from: '1h', to: '1h' } }).options,
  )
  for (let n = 0; n < 8; n++) log(n)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(done, [0, 1, 2, 4, 5, 6, 7])
  assert.equal(log.stats().deadLetters, 1)
  await log.close(LIMIT)
})

test('a handler that hangs is cut at its limit, its waits are given up, and the queue goes on although it never ends', async () => {
  const reasons: unknown[] = []
  let waitGivenUp: unknown
  const log = defer<string>(
    'hang',
    async (_, { attempt, signal }) => {
      if (attempt > 1) return
      signal.addEventListener('abort', () => reasons.push((signal.reason as Error).name))
      within('inside', '1h', () => new Promise(() => {})).catch((error: Error) => {
        waitGivenUp = error.name
      })
      await new Promise(() => {})
    },
    quiet({ limit: '50ms' }).options,
  )
  log('x')
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(reasons, ['WaitExpiredError'])
  assert.equal(waitGivenUp, 'WaitExpiredError')
  const { delivered, failures, zombies } = log.stats()
  assert.deepEqual({ delivered, failures, zombies }, { delivered: 1, failures: 1, zombies: 1 })
  await log.close(LIMIT)
})

test('a full queue drops the newest, and says so once with the count', async () => {
  const held = gate()
  const seen: unknown[] = []
  const { options, events } = quiet({ maxItems: 3, linger: 0 })
  const log = defer(
    'newest',
    async (items) => {
      await held.opened
      seen.push(...items)
    },
    options,
  )
  const offered = [1, 2, 3, 4, 5].map((item) => log.offer(item))
  assert.deepEqual(offered, ['spooled', 'spooled', 'spooled', 'dropped', 'dropped'])
  assert.equal(log(6), false)
  held.open()
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(seen, [1, 2, 3])
  assert.deepEqual(log.stats().drops, { full: 3 })
  assert.equal(events.filter(({ type }) => type === 'dropped').length, 1)
  await log.close(LIMIT)
})

test('a full queue drops the oldest that no handler has yet', async () => {
  const held = gate()
  const seen: unknown[] = []
  const log = defer(
    'oldest',
    async (items) => {
      await held.opened
      seen.push(...items)
    },
    quiet({ maxItems: 3, linger: 0, batch: 1, onFull: 'drop-oldest' }).options,
  )
  log(1)
  await until('the handler to have the first', () => log.stats().inHandler !== null)
  for (const item of [2, 3, 4, 5]) assert.equal(log(item), true)
  held.open()
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(seen, [1, 4, 5])
  assert.deepEqual(log.stats().drops, { oldest: 2 })
  await log.close(LIMIT)
})

test('a full queue that rejects tells its caller', async () => {
  const log = defer('reject', () => {}, quiet({ maxItems: 1, linger: '1h', onFull: 'reject' }).options)
  assert.equal(log.offer(1), 'spooled')
  assert.equal(log.offer(2), 'rejected')
  assert.equal(log(3), false)
  assert.deepEqual(log.stats().drops, { rejected: 2 })
  await log.close(LIMIT)
})

test('the bytes of a queue are bounded too', async () => {
  const log = defer('bytes', () => {}, quiet({ maxBytes: '1KiB', linger: '1h' }).options)
  assert.equal(log('x'.repeat(600)), true)
  assert.equal(log('x'.repeat(600)), false)
  assert.equal(log('x'.repeat(2_000)), false)
  assert.deepEqual(log.stats().drops, { full: 1, 'too-large': 1 })
  await log.close(LIMIT)
})

test('an item of which no JSON can be made is dropped and counted, and never throws', async () => {
  const { options, events } = quiet()
  const log = defer<unknown>('unserialisable', () => {}, options)
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  const bad = [cycle, 1n, undefined, () => {}, Symbol('x'), { toJSON: () => assert.fail('no') }]
  for (const item of bad) assert.equal(log(item), false)
  assert.deepEqual(log.stats().drops, { unserialisable: bad.length })
  assert.match(events[0]?.message ?? '', /no JSON can be made of it \(TypeError: Converting circular structure/)
  await log.close(LIMIT)
})

test('a queue in memory says that nothing survives, writes no spool, and what is left at its end is told as lost', async () => {
  const { options, events } = quiet({ durability: 'memory', linger: '1h', backOff: { from: '1h', to: '1h' } })
  const log = defer(
    'memory',
    () => {
      throw new Error('no')
    },
    options,
  )
  assert.equal(log('x'), false)
  assert.equal(log.offer('y'), 'memory')
  assert.equal(log.stats().inMemory, 2)
  await log.close(20)
  assert.deepEqual(log.stats().drops, { lost: 2 })
  assert.ok(events.some(({ type, severity }) => type === 'lost' && severity === 'error'))
  assert.equal(existsSync(join(stateDir, 'spool', 'memory')), false)
})

test('what a closed queue has left is taken up by the next of its name, in order and before what is new', async () => {
  const failing = defer(
    'again',
    () => {
      throw new Error('no')
    },
    quiet({ batch: 100, backOff: { from: '1h', to: '1h', jitter: 'decorrelated' } }).options,
  )
  for (let n = 0; n < 2_500; n++) assert.equal(failing(n), true)
  await failing.close(0)
  assert.equal(failing('late'), false)
  const seen: unknown[] = []
  const { options, events } = quiet({ batch: 100 })
  const log: Deferred<unknown> = defer('again', (items) => void seen.push(...items), options)
  for (let n = 2_500; n < 3_000; n++) log(n)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(
    seen,
    Array.from({ length: 3_000 }, (_, n) => n),
  )
  assert.equal(log.stats().adopted, 2_500)
  assert.ok(events.some(({ message }) => message === 'deferred again: took over 2500 items of this process'))
  await log.close(LIMIT)
  const left = readdirSync(join(stateDir, 'spool', 'again'), { recursive: true, withFileTypes: true })
  assert.deepEqual(
    left.filter((entry) => entry.isFile()).map(({ name }) => name),
    [],
  )
})

test('a queue of a name that is taken, or a handler that is none, is refused', async () => {
  const log = defer('taken', () => {}, quiet().options)
  assert.throws(
    () => defer('taken', () => {}, quiet().options),
    (error) => error instanceof UsageError && /in this process already/.test(error.message),
  )
  assert.throws(
    () => defer('no-handler', undefined as never),
    (error) => error instanceof UsageError && /give a handler/.test(error.message),
  )
  await log.close(LIMIT)
  await defer('taken', () => {}, quiet().options).close(LIMIT)
})

test('an item that waits too long is told once, and once when that is over', async () => {
  const held = gate()
  const { options, events } = quiet({ warnAge: '10ms', linger: 0 })
  const log = defer('late', () => held.opened, options)
  log('x')
  await until('the warning', () => events.some(({ type }) => type === 'late'))
  assert.equal(log.stats().late, true)
  held.open()
  await until('its end', () => events.some(({ type }) => type === 'in-time'))
  assert.deepEqual(
    events.map(({ type }) => type),
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
  const queues = ['left', 'right'].map((name) => defer<number>(name, work, options))
  for (const log of queues) for (let n = 0; n < 3; n++) log(n)
  await until('two calls', () => running === 2)
  await setTimeout(20)
  assert.equal(running, 2)
  held.open()
  for (const log of queues) assert.equal(await log.flush(LIMIT), true)
  assert.equal(most, 2)
  for (const log of queues) await log.close(LIMIT)
})
