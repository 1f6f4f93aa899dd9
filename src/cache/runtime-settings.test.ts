import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { publishWorkerChannel, type WorkerChannel } from '../ipc/worker-channel.ts'
import { readThrough } from './read-through.ts'

afterEach(() => publishWorkerChannel(null))

test('`punctual set` takes effect at once, and `punctual unset` restores the value of the app', async () => {
  const listeners = new Map<string, (message: unknown) => void>()
  const line: WorkerChannel = {
    worker: 1,
    stateDir: '/nowhere',
    set: {},
    send: () => {},
    broadcast: () => {},
    subscribe: (topic, listener) => {
      listeners.set(topic, listener)
      return () => listeners.delete(topic)
    },
    report: () => () => {},
    onDrain: () => () => {},
    load: () => ({ utilisation: 0, inFlight: 0 }),
  }
  publishWorkerChannel(line)
  let loads = 0
  const cache = readThrough<string, number>('auth:user', { load: () => ++loads })
  const say = (message: object): void => listeners.get('settings')?.({ ask: 1, ...message })
  await cache.get('7')
  await cache.get('7')
  assert.equal(loads, 1)
  say({ type: 'set', name: 'cache.auth:user.ttl', text: '0s' })
  assert.equal(cache.report().enabled, false)
  assert.equal(cache.report().items, 0)
  await cache.get('7')
  await cache.get('7')
  assert.equal(loads, 3)
  say({ type: 'unset', name: 'cache.auth:user.ttl' })
  assert.equal(cache.report().enabled, true)
  await cache.get('7')
  await cache.get('7')
  assert.equal(loads, 4)
  say({ type: 'set', name: 'cache.auth:user.ttl', text: '1ms' })
  const old = await cache.get('7')
  while (cache.report().counts.stale === 0) await cache.get('7')
  while ((await cache.get('7')) === old) await turn()
  cache.close()
})
