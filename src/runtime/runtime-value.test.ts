import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { publishWorkerChannel, type WorkerChannel } from '../ipc/worker-channel.ts'
import { runtimeTimeout, runtimeValue } from './runtime-value.ts'

afterEach(() => publishWorkerChannel(null))

/** A channel whose other end is the test. */
function connect(set: Readonly<Record<string, string>> = {}): { receive: (message: unknown) => void; sent: unknown[] } {
  const sent: unknown[] = []
  const listeners = new Set<(message: unknown) => void>()
  const channel: WorkerChannel = {
    worker: 1,
    stateDir: '/nowhere',
    set,
    send: (topic, message) => void sent.push({ topic, ...(message as object) }),
    broadcast: () => {},
    subscribe: (_topic, listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    report: () => () => {},
    onDrain: () => () => {},
    load: () => ({ utilisation: 0, inFlight: 0 }),
  }
  publishWorkerChannel(channel)
  return {
    sent,
    receive: (message) => {
      for (const listener of listeners) listener(message)
    },
  }
}

const count = {
  value: 10,
  read: (text: string): number => {
    if (!/^\d+$/.test(text)) throw new RangeError(`"${text}" is not a number`)
    return Number(text)
  },
  write: String,
}

test('outside Punctual a runtime value is the app’s own', () => {
  const timeout = runtimeTimeout('auth.lookup', '5s')
  assert.equal(timeout.value, 5_000)
  timeout.close()
  assert.equal(timeout.value, 5_000)
})

test('a value is declared with the value in effect and the app’s own', () => {
  const { sent } = connect({ 'auth.lookup': '1s' })
  const timeout = runtimeTimeout('auth.lookup', '5s')
  assert.equal(timeout.value, 1_000)
  assert.deepEqual(sent, [
    {
      topic: 'settings',
      type: 'declare',
      name: 'auth.lookup',
      value: '1s',
      standard: '5s',
      secret: false,
      refused: null,
    },
  ])
  timeout.close()
  timeout.close()
  assert.deepEqual(sent.slice(1), [{ topic: 'settings', type: 'withdraw', name: 'auth.lookup' }])
})

test('a value that is set applies at once, and unset restores the app’s own', () => {
  const { sent, receive } = connect()
  const changes: number[] = []
  const timeout = runtimeTimeout('auth.lookup', '5s', { onChange: (value) => void changes.push(value) })
  receive({ type: 'check', ask: 1, name: 'auth.lookup', text: '0s' })
  assert.equal(timeout.value, 5_000)
  receive({ type: 'set', ask: 2, name: 'auth.lookup', text: '0s' })
  assert.equal(timeout.value, 0)
  receive({ type: 'unset', ask: 3, name: 'auth.lookup' })
  assert.equal(timeout.value, 5_000)
  assert.deepEqual(changes, [0, 5_000])
  assert.deepEqual(sent.slice(1), [
    { topic: 'settings', type: 'answer', ask: 1, ok: true, value: '0ms' },
    { topic: 'settings', type: 'answer', ask: 2, ok: true, value: '0ms' },
    { topic: 'settings', type: 'answer', ask: 3, ok: true, value: '5s' },
  ])
})

test('an invalid value is refused with advice and changes nothing', () => {
  const { sent, receive } = connect()
  const timeout = runtimeTimeout('auth.lookup', '5s')
  for (const type of ['check', 'set']) receive({ type, ask: 1, name: 'auth.lookup', text: '5' })
  assert.equal(timeout.value, 5_000)
  for (const answer of sent.slice(1) as { ok: boolean; why: string }[]) {
    assert.equal(answer.ok, false)
    assert.ok(answer.why.includes('"5"') && answer.why.includes('5s'), answer.why)
  }
  assert.equal(sent.length, 3)
})

test('a value that was set and is no longer valid is reported, and the app keeps its own', () => {
  const { sent } = connect({ 'pool.size': 'many' })
  assert.equal(runtimeValue('pool.size', count).value, 10)
  assert.deepEqual(sent, [
    {
      topic: 'settings',
      type: 'declare',
      name: 'pool.size',
      value: '10',
      standard: '10',
      secret: false,
      refused: '"many" is not a number',
    },
  ])
})

test('values with one name all accept what is set, values declared later too', () => {
  const { sent, receive } = connect()
  const first = runtimeValue('pool.size', count)
  const second = runtimeValue('pool.size', { ...count, value: 20 })
  assert.equal(second.value, 20)
  receive({ type: 'set', ask: 1, name: 'pool.size', text: '3' })
  const third = runtimeValue('pool.size', count)
  assert.deepEqual([first.value, second.value, third.value], [3, 3, 3])
  receive({ type: 'unset', ask: 2, name: 'pool.size' })
  assert.deepEqual([first.value, second.value, third.value], [10, 20, 10])
  first.close()
  second.close()
  third.close()
  assert.deepEqual(
    sent.map((message) => (message as { type: string }).type),
    ['declare', 'answer', 'answer', 'withdraw'],
  )
})

test('a listener that throws does not keep other values from changing, and is reported', () => {
  const { sent, receive } = connect()
  const onChange = (): never => {
    throw new Error('out of memory')
  }
  const first = runtimeValue('pool.size', { ...count, onChange })
  const second = runtimeValue('pool.size', count)
  receive({ type: 'set', ask: 1, name: 'pool.size', text: '3' })
  assert.deepEqual([first.value, second.value], [3, 3])
  assert.deepEqual(sent.at(-1), { topic: 'settings', type: 'answer', ask: 1, ok: false, why: 'out of memory' })
})

test('a message about an unknown name is for another copy of the package', () => {
  const { sent, receive } = connect()
  runtimeValue('pool.size', count)
  receive({ type: 'set', ask: 1, name: 'pool.other', text: '3' })
  assert.equal(sent.length, 1)
})

test('a name has a dot and no control characters', () => {
  for (const name of ['', 'ttl', '.ttl', 'cache.', '1.x', 'cache. ttl', 'cache.a\nb', `cache.${'x'.repeat(200)}`]) {
    assert.throws(() => runtimeTimeout(name, '1s'), { code: 'PUNCTUAL_INVALID_OPTION' }, name)
  }
  for (const name of ['cache.auth:user.ttl', 'cache.user by id.ttl', 'a.b'])
    assert.equal(runtimeTimeout(name, '1s').name, name)
})

test('a value is declared as a secret by its option, else by its name', () => {
  const { sent } = connect()
  const text = { value: '', read: String, write: String }
  runtimeValue('mail.apiKey', text)
  runtimeValue('mail.line', { ...text, secret: true })
  runtimeValue('mail.token', { ...text, secret: false })
  assert.deepEqual(
    sent.map((message) => (message as unknown as { secret: boolean }).secret),
    [true, true, false],
  )
})
