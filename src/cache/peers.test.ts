import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { WorkerHub } from '../../test/process/cache/worker-hub.ts'
import { until } from '../../test/process/support/until.ts'
import { type ReadThrough, readThrough } from './read-through.ts'
import { STALL_THRESHOLD } from './stall-guard.ts'

describe('three workers', () => {
  const caches: ReadThrough<string, number>[] = []
  afterEach(() => {
    for (const cache of caches.splice(0)) cache.close()
  })

  async function workers(): Promise<{
    hub: WorkerHub
    source: Map<string, number>
    caches: ReadThrough<string, number>[]
  }> {
    const hub = new WorkerHub()
    const source = new Map([['k', 1]])
    for (const worker of [1, 2, 3]) join(hub, worker, source)
    for (const cache of caches) assert.equal(await cache.get('k'), 1)
    return { hub, source, caches }
  }

  function join(hub: WorkerHub, worker: number, source: ReadonlyMap<string, number>): ReadThrough<string, number> {
    const make = () => readThrough<string, number>('auth:user', { load: (key) => source.get(key) })
    const cache = hub.run(worker, make)
    caches.push(cache)
    return cache
  }

  test('have all invalidated a key when invalidate resolves', async () => {
    const { hub, source, caches } = await workers()
    assert.deepEqual(
      [1, 2, 3].map((worker) => hub.report(worker).peers),
      [2, 2, 2],
    )
    source.set('k', 2)
    await caches[0]?.invalidate('k')
    for (const cache of caches) assert.equal(await cache.get('k'), 2)
    await caches[1]?.set('k', 3)
    source.set('k', 3)
    for (const cache of caches) assert.equal(await cache.get('k'), 3)
    await caches[2]?.invalidateAll()
    for (const cache of caches) assert.equal(cache.report().items, 0)
  })

  test('wait only once for a worker that does not acknowledge, until its next message', async () => {
    const { hub, source, caches } = await workers()
    hub.unreachable.add(3)
    source.set('k', 2)
    await caches[0]?.invalidate('k')
    assert.equal(hub.report(1).peers, 1)
    assert.equal(await caches[1]?.get('k'), 2)
    await caches[0]?.invalidate('k')
    hub.deliverKept()
    await until('its message to arrive', () => hub.report(1).peers === 2)
    assert.equal(await caches[2]?.get('k'), 2)
  })

  test('acknowledge invalidations of a cache that was just created', async () => {
    const { hub, source, caches } = await workers()
    const newest = join(hub, 4, source)
    source.set('k', 2)
    await newest.invalidate('k')
    for (const cache of caches) assert.equal(await cache.get('k'), 2)
  })

  test('process pending invalidations after a stall, before they answer from memory', async () => {
    const { hub, source, caches } = await workers()
    hub.unreachable.add(3)
    source.set('k', 2)
    await caches[0]?.invalidate('k')
    const end = performance.now() + STALL_THRESHOLD + 50
    while (performance.now() < end);
    const got = caches[2]?.get('k')
    hub.deliverKept()
    assert.equal(await got, 2)
  })

  test('ignore invalid messages', async () => {
    const { hub, caches } = await workers()
    const channel = hub.channel(4)
    for (const message of [
      { type: 'invalidate', from: 'x', invalidation: { keys: 'k' } },
      { type: 'nonsense', from: 'x' },
    ]) {
      channel.broadcast('cache', message)
    }
    await turn()
    await turn()
    assert.equal(caches[0]?.report().items, 1)
  })
})
