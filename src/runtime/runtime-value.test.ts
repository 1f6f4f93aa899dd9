import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { publishWorkerChannel, type WorkerChannel } from '../ipc/worker-channel.ts'
import { runtimeTimeout } from './runtime-timeout.ts'
import { runtimeValue } from './runtime-value.ts'

afterEach(() => publishWorkerChannel(null))

/** A line whose other end is the test. */
function connect(set: Readonly<Record<string, string>> = {}): { say: (message: unknown) => void; told: unknown[] } {
  const told: unknown[] = []
  const listeners = new Set<(message: unknown) => void>()
  const line: WorkerChannel = {
    worker: 1,
    stateDir: '/nowhere',
    set,
    send: (topic, message) => void told.push({ topic, ...(message as object) }),
    broadcast: () => {},
    subscribe: (_topic, listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    report: () => () => {},
    onDrain: () => () => {},
    load: () => ({ utilisation: 0, inFlight: 0 }),
  }
  publishWorkerChannel(line)
  return {
    told,
    say: (message) => {
      for (const listener of listeners) listener(message)
    },
  }
}

const count = {
  value: 10,
  read: (text: string): number => {
    if (!/^\d+$/.test(text)) throw new RangeError(`"${text}" is no number`)
    return Number(text)
  },
  write: String,
}

test('outside Punctual a hot value is the one that was given', () => {
  const limit = runtimeTimeout('auth.lookup', '5s')
  assert.equal(limit.value, 5_000)
  limit.close()
  assert.equal(limit.value, 5_000)
})

test('a value is declared with what is in force and what the app has', () => {
  const { told } = connect({ 'auth.lookup': '1s' })
  const limit = runtimeTimeout('auth.lookup', '5s')
  assert.equal(limit.value, 1_000)
  assert.deepEqual(told, [
    { topic: 'settings', type: 'declare', name: 'auth.lookup', value: '1s', standard: '5s', refused: null },
  ])
  limit.close()
  limit.close()
  assert.deepEqual(told.slice(1), [{ topic: 'settings', type: 'withdraw', name: 'auth.lookup' }])
})

test('a value that is set is in force at once, and unset restores what the app has', () => {
  const { told, say } = connect()
  const changes: number[] = []
  const limit = runtimeTimeout('auth.lookup', '5s', { onChange: (value) => void changes.push(value) })
  say({ type: 'check', ask: 1, name: 'auth.lookup', text: '0s' })
  assert.equal(limit.value, 5_000)
  say({ type: 'set', ask: 2, name: 'auth.lookup', text: '0s' })
  assert.equal(limit.value, 0)
  say({ type: 'unset', ask: 3, name: 'auth.lookup' })
  assert.equal(limit.value, 5_000)
  assert.deepEqual(changes, [0, 5_000])
  assert.deepEqual(told.slice(1), [
    { topic: 'settings', type: 'answer', ask: 1, ok: true, value: '0ms' },
    { topic: 'settings', type: 'answer', ask: 2, ok: true, value: '0ms' },
    { topic: 'settings', type: 'answer', ask: 3, ok: true, value: '5s' },
  ])
})

test('what is not allowed is refused with what is, and changes nothing', () => {
  const { told, say } = connect()
  const limit = runtimeTimeout('auth.lookup', '5s')
  for (const type of ['check', 'set']) say({ type, ask: 1, name: 'auth.lookup', text: '5' })
  assert.equal(limit.value, 5_000)
  for (const answer of told.slice(1) as { ok: boolean; why: string }[]) {
    assert.equal(answer.ok, false)
    assert.ok(answer.why.includes('"5"') && answer.why.includes('5s'), answer.why)
  }
  assert.equal(told.length, 3)
})

test('a value that was set and no longer applies is told, and the app keeps its own', () => {
  const { told } = connect({ 'pool.size': 'many' })
  assert.equal(runtimeValue('pool.size', count).value, 10)
  assert.deepEqual(told, [
    {
      topic: 'settings',
      type: 'declare',
      name: 'pool.size',
      value: '10',
      standard: '10',
      refused: '"many" is no number',
    },
  ])
})

test('values of one name are one for the operator: all take what is set, later ones too', () => {
  const { told, say } = connect()
  const first = runtimeValue('pool.size', count)
  const second = runtimeValue('pool.size', { ...count, value: 20 })
  assert.equal(second.value, 20)
  say({ type: 'set', ask: 1, name: 'pool.size', text: '3' })
  const third = runtimeValue('pool.size', count)
  assert.deepEqual([first.value, second.value, third.value], [3, 3, 3])
  say({ type: 'unset', ask: 2, name: 'pool.size' })
  assert.deepEqual([first.value, second.value, third.value], [10, 20, 10])
  first.close()
  second.close()
  third.close()
  assert.deepEqual(
    told.map((message) => (message as { type: string }).type),
    ['declare', 'answer', 'answer', 'withdraw'],
  )
})

test('a listener that throws keeps the value from nobody, and is told', () => {
  const { told, say } = connect()
  const onChange = (): never => {
    throw new Error('no room')
  }
  const first = runtimeValue('pool.size', { ...count, onChange })
  const second = runtimeValue('pool.size', count)
  say({ type: 'set', ask: 1, name: 'pool.size', text: '3' })
  assert.deepEqual([first.value, second.value], [3, 3])
  assert.deepEqual(told.at(-1), { topic: 'settings', type: 'answer', ask: 1, ok: false, why: 'no room' })
})

test('what is said of a name that nobody has here is for another copy of the package', () => {
  const { told, say } = connect()
  runtimeValue('pool.size', count)
  say({ type: 'set', ask: 1, name: 'pool.other', text: '3' })
  assert.equal(told.length, 1)
})

test('a name has a dot and no control characters', () => {
  for (const name of ['', 'ttl', '.ttl', 'cache.', '1.x', 'cache. ttl', 'cache.a\nb', `cache.${'x'.repeat(200)}`]) {
    assert.throws(() => runtimeTimeout(name, '1s'), { code: 'PUNCTUAL_INVALID_OPTION' }, name)
  }
  for (const name of ['cache.auth:user.ttl', 'cache.user by id.ttl', 'a.b'])
    assert.equal(runtimeTimeout(name, '1s').name, name)
})
