import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheEvent, CacheEventType } from '../../../src/cache/cache-events.ts'
import { type ReadThrough, readThrough } from '../../../src/cache/read-through.ts'
import type { ReadThroughOptions } from '../../../src/cache/read-through-options.ts'
import { quietPort, redisMissing, startRedis, type TestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { CLIENTS, type ConnectedClient } from './clients.ts'
import { monitorRedis } from './redis-monitor.ts'
import { type ShapedProxy, startShapedProxy } from './shaped-proxy.ts'
import { onOwnMachine } from './worker-hub.ts'

const missing = redisMissing()
const SOFT_LIMIT = 50
/** Invalidations that are kept. */
const QUEUE = 10
/** Milliseconds that a busy machine may add. What it is on a quiet one, `npm run bench -- cache` says. */
const SLACK = 400
/** Where Redis is expected to answer, however busy the machine is. */
const PATIENT = { softTimeout: '5s' } as const

type Options = Partial<Pick<ReadThroughOptions<string, number>, 'timeout' | 'softTimeout'>>

interface Machine {
  readonly cache: ReadThrough<string, number>
  readonly events: CacheEventType[]
}

for (const [library, connect] of Object.entries(CLIENTS)) {
  describe(`a Redis that fails, over ${library}`, { skip: missing ?? false }, () => {
    const clients: ConnectedClient[] = []
    const caches: ReadThrough<string, number>[] = []
    const servers: TestRedis[] = []
    const proxies: ShapedProxy[] = []
    /** The source: a version for each key, 1 unless it was updated. */
    const source = new Map<string, number>()
    let used = 0

    afterEach(async () => {
      for (const cache of caches.splice(0)) cache.close()
      for (const client of clients.splice(0)) await client.close()
      for (const proxy of proxies.splice(0)) await proxy.close()
      for (const server of servers.splice(0)) await server.stop()
      source.clear()
    })

    async function machine(url: string | null, options: Options = {}): Promise<Machine> {
      const events: CacheEventType[] = []
      const connected = url === null ? null : await connect(url)
      if (connected !== null) clients.push(connected)
      const all = {
        load: async (key: string) => {
          await sleep(2)
          return source.get(key) ?? 1
        },
        softTimeout: SOFT_LIMIT,
        onEvent: ({ type }: CacheEvent) => events.push(type),
        ...(connected === null ? {} : { redis: { client: connected.client, queue: QUEUE } }),
        ...options,
      }
      const cache = onOwnMachine(() => readThrough<string, number>('faults', all))
      caches.push(cache)
      // What it waits for when it is new has nothing to do with Redis.
      await cache.get('first')
      return { cache, events }
    }

    async function server(): Promise<TestRedis> {
      const redis = await startRedis()
      servers.push(redis)
      return redis
    }

    async function twoMachines(url: string, options?: Options): Promise<[Machine, Machine]> {
      const both: [Machine, Machine] = [await machine(url, options), await machine(url, options)]
      await until('both to hear', () => both.every(({ cache }) => cache.report().redis?.hears))
      return both
    }

    /** Asks for keys that nobody has asked for yet, ten at a time; returns the 99th percentile in milliseconds. Fails with the first that fails. */
    async function ask({ cache }: Machine, count = 200): Promise<number> {
      const times: number[] = []
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          for (let index = 0; index < count / 10; index++) {
            const from = performance.now()
            assert.equal(await cache.get(`fresh ${++used}`), 1)
            times.push(performance.now() - from)
          }
        }),
      )
      return times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99) - 1] as number
    }

    /** What happens to Redis costs no request more than the soft limit. */
    async function assertUnhurt(hurt: Machine): Promise<void> {
      const well = await machine(null)
      // At the same time: whatever else the machine has to do, both suffer from.
      const [during, without] = await Promise.all([ask(hurt), ask(well)])
      assert.ok(during <= without + SOFT_LIMIT + SLACK, `p99 ${during} ms, without Redis ${without} ms`)
    }

    async function seesEverywhere(key: string, version: number, machines: readonly Machine[]): Promise<void> {
      const seen = () => Promise.all(machines.map(({ cache }) => cache.get(key)))
      await until(`version ${version} to be seen`, async () => (await seen()).every((found) => found === version))
      // And it does not come back.
      for (let round = 0; round < 5; round++) {
        await sleep(20)
        assert.deepEqual(
          await seen(),
          machines.map(() => version),
        )
      }
    }

    /** Sooner or later Redis answers within the soft limit. */
    async function storesAgain({ cache }: Machine, redis: TestRedis): Promise<void> {
      await until('something to be stored', async () => {
        const key = `stored ${++used}`
        await cache.get(key)
        return (await redis.command('EXISTS', `faults:${key}`)) === 1
      })
    }

    function assertWasDown({ events }: Machine): void {
      assert.ok(events.includes('redis-down') && events.includes('redis-up'), events.join())
    }

    test('one that stands still is left alone, and asked again when it goes on; no invalidation is lost', async () => {
      const redis = await server()
      const [one, other] = await twoMachines(redis.url)
      await Promise.all([one.cache.get('k'), other.cache.get('k')])
      redis.freeze()
      await assertUnhurt(one)
      assert.notEqual(one.cache.report().redis?.breaker, 'closed')
      source.set('k', 2)
      await one.cache.invalidate('k')
      assert.equal(await one.cache.get('k'), 2, 'here at once, whatever Redis has')
      assert.equal(one.cache.report().redis?.queued, 1)
      redis.thaw()
      await until('Redis to be asked again', () => one.cache.report().redis?.state === 'up')
      await until('it to be told', () => one.cache.report().redis?.queued === 0)
      await seesEverywhere('k', 2, [one, other])
      assertWasDown(one)
    })

    test('one that is killed and comes back with an old snapshot brings no old value back', async () => {
      const redis = await server()
      const [one, other] = await twoMachines(redis.url, PATIENT)
      await Promise.all([one.cache.get('k'), other.cache.get('k'), other.cache.get('j')])
      await until('both to be stored', async () => (await redis.command('EXISTS', 'faults:k', 'faults:j')) === 2)
      await redis.command('SAVE')
      source.set('j', 2)
      await one.cache.invalidate('j')
      await redis.kill()
      await until('it to be noticed', () => one.cache.report().redis?.state === 'down')
      await assertUnhurt(one)
      source.set('k', 2)
      await one.cache.invalidate('k')
      assert.equal(await one.cache.get('k'), 2)
      await redis.start()
      assert.equal(await redis.command('EXISTS', 'faults:j'), 1, 'the snapshot has it')
      await until('all to be well', () =>
        [one, other].every(({ cache }) => cache.report().redis?.hears && cache.report().redis?.state === 'up'),
      )
      await until('it to be told', () => one.cache.report().redis?.queued === 0)
      await seesEverywhere('k', 2, [one, other])
      await seesEverywhere('j', 2, [one, other])
      assertWasDown(one)
    })

    test('one that is flushed costs loads, and brings no old value back', async () => {
      const redis = await server()
      const [one, other] = await twoMachines(redis.url, PATIENT)
      await Promise.all([one.cache.get('k'), other.cache.get('k')])
      await redis.command('FLUSHALL')
      await assertUnhurt(one)
      source.set('k', 2)
      await one.cache.invalidate('k')
      await seesEverywhere('k', 2, [one, other])
      assert.equal(one.cache.report().redis?.state, 'up')
    })

    test('one that has no memory left is not written to; reads and invalidations go on', async () => {
      const redis = await server()
      const [one, other] = await twoMachines(redis.url, PATIENT)
      await one.cache.get('k')
      await until('it to be stored', async () => (await redis.command('EXISTS', 'faults:k')) === 1)
      assert.equal(await other.cache.get('k'), 1)
      await redis.command('CONFIG', 'SET', 'maxmemory', '1')
      await assertUnhurt(one)
      source.set('k', 2)
      await one.cache.invalidate('k')
      assert.equal(one.cache.report().redis?.queued, 0, 'Redis was told')
      assert.equal(await redis.command('EXISTS', 'faults:k'), 0)
      await seesEverywhere('k', 2, [one, other])
      assert.equal(one.cache.report().redis?.state, 'up')
      await redis.command('CONFIG', 'SET', 'maxmemory', '0')
      await storesAgain(one, redis)
    })

    test('one that is not there at first is used when it comes', async () => {
      const port = await quietPort()
      const one = await machine(`redis://127.0.0.1:${port}`)
      await assertUnhurt(one)
      assert.equal(one.cache.report().redis?.state, 'down')
      const redis = await server()
      const proxied = await startShapedProxy(redis.port, port)
      proxies.push(proxied)
      await until('it to be used', () => {
        const report = one.cache.report().redis
        return report?.state === 'up' && report.hears
      })
      await storesAgain(one, redis)
    })

    test('one that takes 2 s for every answer is left alone; what it did not hear it is told later', async () => {
      const redis = await server()
      const proxy = await startShapedProxy(redis.port)
      proxies.push(proxy)
      const [one] = await twoMachines(proxy.url)
      const other = await machine(redis.url)
      await until('it to hear', () => other.cache.report().redis?.hears)
      await Promise.all([one.cache.get('k'), other.cache.get('k')])
      proxy.delay = 1_000
      await assertUnhurt(one)
      source.set('k', 2)
      await one.cache.invalidate('k')
      assert.equal(await one.cache.get('k'), 2)
      proxy.delay = 0
      await until('it to be told', () => one.cache.report().redis?.queued === 0)
      await until('it to be asked again', () => one.cache.report().redis?.state === 'up')
      await seesEverywhere('k', 2, [one, other])
      assertWasDown(one)
    })

    test('a lease of whoever did not hear that he has it is given back, so that nobody waits for him', async (t) => {
      const redis = await server()
      const proxy = await startShapedProxy(redis.port)
      proxies.push(proxy)
      // Longer than the test: it does not end by itself.
      const one = await machine(proxy.url, { timeout: '60s' })
      await until('it to be used', () => one.cache.report().redis?.hears)
      await storesAgain(one, redis)
      const lease = 'punctual:lease:faults:k'
      const said: string[] = []
      t.after(await monitorRedis(redis.port, (command) => said.push(command.join(' '))))
      proxy.delay = 3 * SOFT_LIMIT
      assert.equal(await one.cache.get('k'), 1)
      await until('Redis to have given it', () => said.some((command) => command.startsWith(`SET ${lease}`)))
      proxy.delay = 0
      await until('it to be given back', async () => (await redis.command('EXISTS', lease)) === 0)
      assert.equal(await redis.command('EXISTS', 'faults:k'), 0, 'what was loaded without it was not stored')
    })

    test('more invalidations than are kept drop everything on its return', async () => {
      const redis = await server()
      const [{ cache, events }, other] = await twoMachines(redis.url)
      await cache.get('untouched')
      await Promise.all(Array.from({ length: 2 * QUEUE }, (_, index) => cache.get(`k${index}`)))
      await other.cache.get('k19')
      redis.freeze()
      for (let index = 0; index < 2 * QUEUE; index++) {
        source.set(`k${index}`, 2)
        await cache.invalidate(`k${index}`)
      }
      assert.ok(events.includes('queue-overflow'))
      redis.thaw()
      await until('it to be told', () => cache.report().redis?.queued === 0)
      await until('the other to see it', async () => (await other.cache.get('k19')) === 2)
    })
  })
}
