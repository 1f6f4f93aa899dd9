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

test('a handler that fails gets the same items again, after a back-off, with the number of the attempt', async () => {
  const calls: [readonly string[], number][] = []
  const { options, events } = quiet()
  const log = durableQueue(
    'retry',
    (_, { ids, attempt }) => {
      calls.push([ids, attempt])
      if (attempt === 1) throw new Error('not yet')
    },
    options,
  )
  log.push(1)
  log.push(2)
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
  const { retryInMs, ...told } = events.find(({ type }) => type === 'failing')?.details ?? {}
  assert.deepEqual(told, { items: 2, attempt: 1, error: 'Error: not yet' })
  assert.equal(typeof retryInMs, 'number')
  await log.close(LIMIT)
})

test('poison items go to the dead letters alone, and everything around them is delivered once', async () => {
  const poison = new Set([7, 8, 333])
  const done: number[] = []
  const { options, events } = quiet({ attempts: 3 })
  const log = durableQueue<number>(
    'poison',
    (items) => {
      if (items.some((item) => poison.has(item))) throw Object.assign(new Error('poisoned'), { code: 'E_POISON' })
      done.push(...items)
    },
    options,
  )
  for (let n = 0; n < 500; n++) log.push(n)
  assert.equal(await log.flush(LIMIT), true)
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
  assert.equal(log.stats().deadLetters, 3)
  const told = events.find(({ type }) => type === 'dead-letters')
  assert.deepEqual([told?.details.error, told?.details.written], ['Error: poisoned', true])
  await log.close(LIMIT)
})

test('while a poison item is tried again the others go on', async () => {
  const done: unknown[] = []
  const { options } = quiet({ attempts: 1_000, backOff: { from: 1, to: '1h' } })
  const log = durableQueue<string>(
    'others',
    (items) => {
      if (items.includes('poison')) throw new Error('no')
      done.push(...items)
    },
    options,
  )
  log.push('poison')
  await until('two failures alone', () => log.stats().failures >= 2)
  for (let n = 0; n < 100; n++) {
    const item = `item ${n}`
    log.push(item)
    await until(item, () => done.includes(item))
  }
  assert.equal(log.stats().depth, 1)
  await log.close(0)
})

test('poison items that hang until their limit leave half of the time to the others', async () => {
  let [hanging, hung, delivered] = [0, 0, 0]
  const { options } = quiet({ attempts: 1_000, batch: 1, linger: 0, timeout: 50, backOff: { from: 0, to: 0 } })
  const log = durableQueue<string>(
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
  for (let n = 0; n < 3; n++) log.push('poison')
  for (let n = 0; n < 50; n++) log.push('good')
  await until('the poison to be known', () => log.stats().failures >= 6)
  const [begun, before] = [performance.now(), hanging]
  for (let n = 0; n < 50; n++) log.push('good')
  // Whoever waits for a flush is not held up by how busy the event loop is.
  const flushed = log.flush(LIMIT)
  await until('the others', () => delivered === 100)
  const [took, longest] = [performance.now() - begun, hanging / Math.max(1, hung)]
  assert.ok(hanging - before <= took / 2 + 2 * longest, `${hanging - before} ms of ${took} ms`)
  await log.close(0)
  assert.equal(await flushed, false, 'a queue that is closed is waited for no longer')
})

test('an item that fails whatever is done has exactly as many attempts as were given', async () => {
  let calls = 0
  const log = durableQueue(
    'attempts',
    () => {
      calls++
      throw new Error('no')
    },
    quiet({ attempts: 4 }).options,
  )
  log.push('x')
  assert.equal(await log.flush(LIMIT), true)
  assert.equal(calls, 4)
  assert.equal(log.stats().deadLetters, 1)
  await log.close(LIMIT)
})

test('when everything fails each item is given up by itself, and while nothing succeeds nothing is called without a back-off', async () => {
  const calls: number[] = []
  const { options } = quiet({ attempts: 3, backOff: { from: 20, to: 20, jitter: 'decorrelated' } })
  const log = durableQueue<number>(
    'outage',
    () => {
      calls.push(performance.now())
      throw new Error('down')
    },
    options,
  )
  for (let n = 0; n < 8; n++) log.push(n)
  assert.equal(await log.flush(LIMIT), true)
  assert.equal(log.stats().deadLetters, 8)
  // One call, one more as it was, then two halves of each batch down to the items.
  assert.equal(calls.length, 16)
  for (let call = 1; call < calls.length; call++) assert.ok((calls[call] ?? 0) - (calls[call - 1] ?? 0) > 15)
  await log.close(LIMIT)
})

test('an error that says it is permanent sends the items it names to the dead letters at once, and spares the others', async () => {
  const calls: unknown[][] = []
  const log = durableQueue<string>(
    'permanent',
    (items, { ids }) => {
      calls.push(items)
      const bad = ids.filter((_, index) => items[index]?.startsWith('bad'))
      if (bad.length > 0) throw new PermanentError('unknown user', { ids: bad })
    },
    quiet({ backOff: { from: '1h', to: '1h' } }).options,
  )
  for (const item of ['good 1', 'bad 1', 'good 2', 'bad 2']) log.push(item)
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
  const log = durableQueue<number>(
    'permanent-all',
    (items) => {
      if (items.includes(3)) throw new PermanentError('no')
      done.push(...items)
    },
    quiet({ backOff: { from: '1h', to: '1h' } }).options,
  )
  for (let n = 0; n < 8; n++) log.push(n)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(done, [0, 1, 2, 4, 5, 6, 7])
  assert.equal(log.stats().deadLetters, 1)
  await log.close(LIMIT)
})

test('a handler that hangs is cut at its limit, its waits are given up, and the queue goes on although it never ends', async () => {
  const reasons: unknown[] = []
  let waitGivenUp: unknown
  const log = durableQueue<string>(
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
  log.push('x')
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(reasons, ['WaitTimeoutError'])
  assert.equal(waitGivenUp, 'WaitTimeoutError')
  const { delivered, failures, abandonedCalls } = log.stats()
  assert.deepEqual({ delivered, failures, abandonedCalls }, { delivered: 1, failures: 1, abandonedCalls: 1 })
  await log.close(LIMIT)
})

test('an onEvent that throws fails no caller and strands no item', async (t) => {
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
  const log = durableQueue<unknown>(
    'throwing-listener',
    (items) => {
      if (items.includes('poison')) throw new Error('no')
      done.push(...items)
    },
    { ...quiet({ attempts: 2 }).options, onEvent },
  )
  assert.equal(log.push(1n), 'dropped')
  for (const item of ['first', 'poison', 'last']) log.push(item)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(done, ['first', 'last'])
  assert.equal(log.stats().deadLetters, 1)
  // Of the drop, the failure and the dead letter.
  await until('the warnings', () => warnings >= 3)
  await log.close(LIMIT)
})

test('a handler that throws a value without a text is retried, and its item becomes a dead letter', async () => {
  const { options, events } = quiet({ attempts: 2 })
  const log = durableQueue<string>(
    'no-text',
    () => {
      throw Object.create(null)
    },
    options,
  )
  log.push('x')
  assert.equal(await log.flush(LIMIT), true)
  assert.equal(log.stats().deadLetters, 1)
  assert.equal(events.filter(({ type }) => type === 'delivery-failed').length, 0)
  await log.close(LIMIT)
})

test('a fault in delivery itself loses no item and no handler slot, is reported, and the queue goes on', async () => {
  let faults = 0
  const done: string[] = []
  const { options, events } = quiet({ batch: 2 })
  const log = durableQueue<string>(
    'fault',
    (items) => {
      // More often than there are slots: one that was not given back would stop all queues of the process.
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
  for (const item of ['first', 'second', 'third']) log.push(item)
  assert.equal(await log.flush(LIMIT), true)
  assert.deepEqual(done, ['first', 'second', 'third'])
  const told = events.filter(({ type }) => type === 'delivery-failed').map(({ details }) => details)
  assert.deepEqual(told, Array(5).fill({ items: 2, error: 'Error: unforeseen' }))
  const { state, depth, inHandler } = log.stats()
  assert.deepEqual({ state, depth, inHandler }, { state: 'idle', depth: 0, inHandler: null })
  await log.close(LIMIT)
})
