import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { until } from '../../test/process/support/until.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { DeadLetterStore } from './dead-letters.ts'
import { durableQueue } from './durable-queue.ts'
import { PermanentError } from './handler.ts'
import type { QueueEvent } from './queue-events.ts'
import type { DurableQueueOptions } from './queue-options.ts'

const stateDir = mkdtempSync(join(tmpdir(), 'punctual-failing-'))
after(() => rmSync(stateDir, { recursive: true, force: true }))

const LIMIT = '30s'

function quiet(options: DurableQueueOptions = {}): {
  readonly options: DurableQueueOptions
  readonly events: QueueEvent[]
} {
  const events: QueueEvent[] = []
  return {
    options: { stateDir, backOff: { from: 1, to: 5 }, onEvent: (event) => events.push(event), ...options },
    events,
  }
}

test('a handler that fails gets the same items again after a back-off, with the attempt number', async () => {
  const calls: [readonly string[], number][] = []
  const { options, events } = quiet()
  const queue = durableQueue(
    'retry',
    (_, { ids, attempt }) => {
      calls.push([ids, attempt])
      if (attempt === 1) throw new Error('not yet')
    },
    options,
  )
  queue.push(1)
  queue.push(2)
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(
    calls.map(([, attempt]) => attempt),
    [1, 2],
  )
  assert.deepEqual(calls[0]?.[0], calls[1]?.[0])
  const { failures, retries, delivered, lastError } = queue.stats()
  assert.deepEqual(
    { failures, retries, delivered, lastError },
    { failures: 1, retries: 1, delivered: 2, lastError: null },
  )
  const { retryInMs, ...reported } = events.find(({ type }) => type === 'failing')?.details ?? {}
  assert.deepEqual(reported, { items: 2, attempt: 1, error: 'Error: not yet' })
  assert.equal(typeof retryInMs, 'number')
  await queue.close(LIMIT)
})

test('only the items that fail become dead letters, and all others are delivered once', async () => {
  const poison = new Set([7, 8, 333])
  const done: number[] = []
  const { options, events } = quiet({ attempts: 3 })
  const queue = durableQueue<number>(
    'poison',
    (items) => {
      if (items.some((item) => poison.has(item))) throw Object.assign(new Error('poisoned'), { code: 'E_POISON' })
      done.push(...items)
    },
    options,
  )
  for (let n = 0; n < 500; n++) queue.push(n)
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(
    done.toSorted((a, b) => a - b),
    Array.from({ length: 500 }, (_, n) => n).filter((n) => !poison.has(n)),
  )
  const letters = await new DeadLetterStore(join(stateDir, 'spool'), 'poison').list()
  assert.deepEqual(new Set(letters.map(({ item }) => item)), poison)
  for (const { error, attempts, firstFailedAt, lastFailedAt } of letters) {
    assert.deepEqual(error, { name: 'Error', message: 'poisoned', code: 'E_POISON' })
    assert.ok(attempts >= 3 && firstFailedAt <= lastFailedAt)
  }
  assert.equal(queue.stats().deadLetters, 3)
  const reported = events.find(({ type }) => type === 'dead-letters')
  assert.deepEqual([reported?.details.error, reported?.details.written], ['Error: poisoned', true])
  await queue.close(LIMIT)
})

test('while one item is retried, the others are delivered', async () => {
  const done: unknown[] = []
  const { options } = quiet({ attempts: 1_000, backOff: { from: 1, to: '1h' } })
  const queue = durableQueue<string>(
    'others',
    (items) => {
      if (items.includes('poison')) throw new Error('no')
      done.push(...items)
    },
    options,
  )
  queue.push('poison')
  await until('two failures alone', () => queue.stats().failures >= 2)
  for (let n = 0; n < 100; n++) {
    const item = `item ${n}`
    queue.push(item)
    await until(item, () => done.includes(item))
  }
  assert.equal(queue.stats().depth, 1)
  await queue.close(0)
})

test('items that hang until their timeout leave half of the time to the others', async () => {
  let [hanging, hung, delivered] = [0, 0, 0]
  const { options } = quiet({ attempts: 1_000, batch: 1, linger: 0, timeout: 50, backOff: { from: 0, to: 0 } })
  const queue = durableQueue<string>(
    'starving',
    async (items, { attempt, signal }) => {
      if (items[0] !== 'poison') {
        delivered++
        return
      }
      const begun = performance.now()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      if (attempt > 2) {
        hanging += performance.now() - begun
        hung++
      }
      throw new Error('no')
    },
    options,
  )
  for (let n = 0; n < 3; n++) queue.push('poison')
  for (let n = 0; n < 50; n++) queue.push('good')
  await until('the poison to be known', () => queue.stats().failures >= 6)
  const [begun, before] = [performance.now(), hanging]
  for (let n = 0; n < 50; n++) queue.push('good')
  // A flush is not held up by a busy event loop.
  const flushed = queue.flush(LIMIT)
  await until('the others', () => delivered === 100)
  const [took, longest] = [performance.now() - begun, hanging / Math.max(1, hung)]
  assert.ok(hanging - before <= took / 2 + 2 * longest, `${hanging - before} ms of ${took} ms`)
  await queue.close(0)
  assert.equal(await flushed, false, 'a queue that is closed is waited for no longer')
})

test('an item that always fails has exactly the configured number of attempts', async () => {
  let calls = 0
  const queue = durableQueue(
    'attempts',
    () => {
      calls++
      throw new Error('no')
    },
    quiet({ attempts: 4 }).options,
  )
  queue.push('x')
  assert.equal(await queue.flush(LIMIT), true)
  assert.equal(calls, 4)
  assert.equal(queue.stats().deadLetters, 1)
  await queue.close(LIMIT)
})

test('when everything fails, each item is dead-lettered alone, with a back-off before every call', async () => {
  const calls: number[] = []
  const { options } = quiet({ attempts: 3, backOff: { from: 20, to: 20, jitter: 'decorrelated' } })
  const queue = durableQueue<number>(
    'outage',
    () => {
      calls.push(performance.now())
      throw new Error('down')
    },
    options,
  )
  for (let n = 0; n < 8; n++) queue.push(n)
  assert.equal(await queue.flush(LIMIT), true)
  assert.equal(queue.stats().deadLetters, 8)
  // One call, one unchanged retry, then two halves of each batch down to single items.
  assert.equal(calls.length, 16)
  for (let call = 1; call < calls.length; call++) assert.ok((calls[call] ?? 0) - (calls[call - 1] ?? 0) > 15)
  await queue.close(LIMIT)
})

test('a permanent error dead-letters the items it names at once, and retries the others', async () => {
  const calls: unknown[][] = []
  const queue = durableQueue<string>(
    'permanent',
    (items, { ids }) => {
      calls.push(items)
      const bad = ids.filter((_, index) => items[index]?.startsWith('bad'))
      if (bad.length > 0) throw new PermanentError('unknown user', { ids: bad })
    },
    quiet({ backOff: { from: '1h', to: '1h' } }).options,
  )
  for (const item of ['good 1', 'bad 1', 'good 2', 'bad 2']) queue.push(item)
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(calls, [
    ['good 1', 'bad 1', 'good 2', 'bad 2'],
    ['good 1', 'good 2'],
  ])
  assert.equal(queue.stats().deadLetters, 2)
  await queue.close(LIMIT)
})

test('a permanent error without ids is narrowed down without a back-off', async () => {
  const done: unknown[] = []
  const queue = durableQueue<number>(
    'permanent-all',
    (items) => {
      if (items.includes(3)) throw new PermanentError('no')
      done.push(...items)
    },
    quiet({ backOff: { from: '1h', to: '1h' } }).options,
  )
  for (let n = 0; n < 8; n++) queue.push(n)
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(done, [0, 1, 2, 4, 5, 6, 7])
  assert.equal(queue.stats().deadLetters, 1)
  await queue.close(LIMIT)
})

test('a handler that hangs is aborted at its timeout with its waits, and the queue continues', async () => {
  const reasons: unknown[] = []
  let waitGivenUp: unknown
  const queue = durableQueue<string>(
    'hang',
    async (_, { attempt, signal }) => {
      if (attempt > 1) return
      signal.addEventListener('abort', () => reasons.push((signal.reason as Error).name))
      withTimeout('inside', '1h', () => new Promise(() => {})).catch((error: Error) => {
        waitGivenUp = error.name
      })
      await new Promise(() => {})
    },
    quiet({ timeout: '50ms' }).options,
  )
  queue.push('x')
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(reasons, ['WaitTimeoutError'])
  assert.equal(waitGivenUp, 'WaitTimeoutError')
  const { delivered, failures, abandonedCalls } = queue.stats()
  assert.deepEqual({ delivered, failures, abandonedCalls }, { delivered: 1, failures: 1, abandonedCalls: 1 })
  await queue.close(LIMIT)
})

test('an onEvent that throws makes no caller fail and strands no item', async (t) => {
  let warnings = 0
  const note = ({ code }: Error & { readonly code?: string }): void => {
    if (code === 'PUNCTUAL_LISTENER_FAILED') warnings++
  }
  process.on('warning', note)
  t.after(() => process.off('warning', note))
  const done: unknown[] = []
  const onEvent = (): never => {
    throw new Error('no log')
  }
  const queue = durableQueue<unknown>(
    'throwing-listener',
    (items) => {
      if (items.includes('poison')) throw new Error('no')
      done.push(...items)
    },
    { ...quiet({ attempts: 2 }).options, onEvent },
  )
  assert.equal(queue.push(1n), 'dropped')
  for (const item of ['first', 'poison', 'last']) queue.push(item)
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(done, ['first', 'last'])
  assert.equal(queue.stats().deadLetters, 1)
  // For the drop, the failure and the dead letter.
  await until('the warnings', () => warnings >= 3)
  await queue.close(LIMIT)
})

test('a handler that throws a value without a string form is retried, and its item becomes a dead letter', async () => {
  const { options, events } = quiet({ attempts: 2 })
  const queue = durableQueue<string>(
    'no-text',
    () => {
      throw Object.create(null)
    },
    options,
  )
  queue.push('x')
  assert.equal(await queue.flush(LIMIT), true)
  assert.equal(queue.stats().deadLetters, 1)
  assert.equal(events.filter(({ type }) => type === 'delivery-failed').length, 0)
  await queue.close(LIMIT)
})

test('a fault in the delivery itself is reported, loses no item and no handler slot, and the queue continues', async () => {
  let faults = 0
  const done: string[] = []
  const { options, events } = quiet({ batch: 2 })
  const queue = durableQueue<string>(
    'fault',
    (items) => {
      // More often than there are slots: a slot that is not released would stop all queues.
      if (++faults <= 5) {
        throw Object.defineProperty(new Error('no'), 'permanent', {
          get: () => {
            throw new Error('unforeseen')
          },
        })
      }
      done.push(...items)
    },
    options,
  )
  for (const item of ['first', 'second', 'third']) queue.push(item)
  assert.equal(await queue.flush(LIMIT), true)
  assert.deepEqual(done, ['first', 'second', 'third'])
  const reported = events.filter(({ type }) => type === 'delivery-failed').map(({ details }) => details)
  assert.deepEqual(reported, Array(5).fill({ items: 2, error: 'Error: unforeseen' }))
  const { state, depth, inHandler } = queue.stats()
  assert.deepEqual({ state, depth, inHandler }, { state: 'idle', depth: 0, inHandler: null })
  await queue.close(LIMIT)
})
