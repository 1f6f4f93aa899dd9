import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ReadThrough, readThrough } from '../../../src/cache/read-through.ts'
import type { CacheEvent, CacheEventType, ReadThroughOptions } from '../../../src/cache/read-through-options.ts'
import { quietPort, redisMissing, startRedis, type TestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { CLIENTS, type ConnectedClient } from './clients.ts'
import { monitorRedis } from './redis-monitor.ts'
import { type ShapedProxy, startShapedProxy } from './shaped-proxy.ts'
import { onOwnMachine } from './worker-hub.ts'

const missing = redisMissing()
const REDIS_TIMEOUT = 50
/** Invalidations that are kept while Redis is down. */
const QUEUE = 10
/** Milliseconds that a busy machine may add; `npm run bench -- cache` measures an idle one. */
const SLACK = 400
/** For tests in which Redis must reply, even on a busy machine. */
const PATIENT = { redisTimeout: '5s' } as const

type Options = Partial<Pick<ReadThroughOptions<string, number>, 'timeout' | 'redisTimeout'>>

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
        redisTimeout: REDIS_TIMEOUT,
        onEvent: ({ type }: CacheEvent) => events.push(type),
        ...(connected === null ? {} : { redis: { client: connected.client, queue: QUEUE } }),
        ...options,
      }
      const cache = onOwnMachine(() => readThrough<string, number>('faults', all))
      caches.push(cache)
      // Its first wait, for other workers, is unrelated to Redis.
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
      await until('both to be subscribed', () => both.every(({ cache }) => cache.report().redis?.subscribed))
      return both
    }

    /**
     * Gets keys that are not cached, ten at a time. Returns the 99th percentile in milliseconds;
     * rejects with the first error.
     */
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

    /** Asserts that no request takes longer by more than `redisTimeout`. */
    async function assertUnaffected(machineWithRedis: Machine): Promise<void> {
      const without = await machine(null)
      // Concurrently, so that both are affected by other load on the machine.
      const [during, baseline] = await Promise.all([ask(machineWithRedis), ask(without)])
      assert.ok(during <= baseline + REDIS_TIMEOUT + SLACK, `p99 ${during} ms, without Redis ${baseline} ms`)
    }

    async function seesEverywhere(key: string, version: number, machines: readonly Machine[]): Promise<void> {
      const seen = () => Promise.all(machines.map(({ cache }) => cache.get(key)))
      await until(`version ${version} to be seen`, async () => (await seen()).every((found) => found === version))
      // The old version does not come back.
      for (let round = 0; round < 5; round++) {
        await sleep(20)
        assert.deepEqual(
          await seen(),
          machines.map(() => version),
        )
      }
    }

    /** Asserts that Redis is used again. */
    async function storesAgain({ cache }: Machine, redis: TestRedis): Promise<void> {
      await until('a value to be stored', async () => {
        const key = `stored ${++used}`
        await cache.get(key)
        return (await redis.command('EXISTS', `punctual:faults:value:${key}`)) === 1
      })
    }

    function assertWasDown({ events }: Machine): void {
      assert.ok(events.includes('redis-down') && events.includes('redis-up'), events.join())
    }

    test('that hangs is not used until it continues, and no invalidation is lost', async () => {
      const redis = await server()
      const [one, other] = await twoMachines(redis.url)
      await Promise.all([one.cache.get('k'), other.cache.get('k')])
      redis.freeze()
      await assertUnaffected(one)
      assert.notEqual(one.cache.report().redis?.breaker, 'closed')
      source.set('k', 2)
      await one.cache.invalidate('k')
      assert.equal(await one.cache.get('k'), 2, 'at once on this machine')
      assert.equal(one.cache.report().redis?.queued, 1)
      redis.thaw()
      await until('Redis to be used again', () => one.cache.report().redis?.state === 'up')
      await until('Redis to be invalidated', () => one.cache.report().redis?.queued === 0)
      await seesEverywhere('k', 2, [one, other])
      assertWasDown(one)
    })

    test('that is killed and restarts from an old snapshot restores no old value', async () => {
      const redis = await server()
      const [one, other] = await twoMachines(redis.url, PATIENT)
      await Promise.all([one.cache.get('k'), other.cache.get('k'), other.cache.get('j')])
      await until(
        'both values to be stored',
        async () => (await redis.command('EXISTS', 'punctual:faults:value:k', 'punctual:faults:value:j')) === 2,
      )
      await redis.command('SAVE')
      source.set('j', 2)
      await one.cache.invalidate('j')
      await redis.kill()
      await until('the failure to be noticed', () => one.cache.report().redis?.state === 'down')
      await assertUnaffected(one)
      source.set('k', 2)
      await one.cache.invalidate('k')
      assert.equal(await one.cache.get('k'), 2)
      await redis.start()
      assert.equal(await redis.command('EXISTS', 'punctual:faults:value:j'), 1, 'the snapshot has it')
      await until('both to recover', () =>
        [one, other].every(({ cache }) => cache.report().redis?.subscribed && cache.report().redis?.state === 'up'),
      )
      await until('Redis to be invalidated', () => one.cache.report().redis?.queued === 0)
      await seesEverywhere('k', 2, [one, other])
      await seesEverywhere('j', 2, [one, other])
      assertWasDown(one)
    })

    test('that is flushed costs loads, and restores no old value', async () => {
      const redis = await server()
      const [one, other] = await twoMachines(redis.url, PATIENT)
      await Promise.all([one.cache.get('k'), other.cache.get('k')])
      await redis.command('FLUSHALL')
      await assertUnaffected(one)
      source.set('k', 2)
      await one.cache.invalidate('k')
      await seesEverywhere('k', 2, [one, other])
      assert.equal(one.cache.report().redis?.state, 'up')
    })

    test('that is out of memory stores nothing; reads and invalidations continue', async () => {
      const redis = await server()
      const [one, other] = await twoMachines(redis.url, PATIENT)
      await one.cache.get('k')
      await until(
        'the value to be stored',
        async () => (await redis.command('EXISTS', 'punctual:faults:value:k')) === 1,
      )
      assert.equal(await other.cache.get('k'), 1)
      await redis.command('CONFIG', 'SET', 'maxmemory', '1')
      await assertUnaffected(one)
      source.set('k', 2)
      await one.cache.invalidate('k')
      assert.equal(one.cache.report().redis?.queued, 0, 'Redis has the invalidation')
      assert.equal(await redis.command('EXISTS', 'punctual:faults:value:k'), 0)
      await seesEverywhere('k', 2, [one, other])
      assert.equal(one.cache.report().redis?.state, 'up')
      await redis.command('CONFIG', 'SET', 'maxmemory', '0')
      await storesAgain(one, redis)
    })

    test('that is missing at first is used when it starts', async () => {
      const port = await quietPort()
      const one = await machine(`redis://127.0.0.1:${port}`)
      await assertUnaffected(one)
      assert.equal(one.cache.report().redis?.state, 'down')
      const redis = await server()
      const proxied = await startShapedProxy(redis.port, port)
      proxies.push(proxied)
      await until('Redis to be used', () => {
        const report = one.cache.report().redis
        return report?.state === 'up' && report.subscribed
      })
      await storesAgain(one, redis)
    })

    test('that takes 2 s for each reply is not used, and is invalidated later', async () => {
      const redis = await server()
      const proxy = await startShapedProxy(redis.port)
      proxies.push(proxy)
      const [one] = await twoMachines(proxy.url)
      const other = await machine(redis.url)
      await until('it to be subscribed', () => other.cache.report().redis?.subscribed)
      await Promise.all([one.cache.get('k'), other.cache.get('k')])
      proxy.delay = 1_000
      await assertUnaffected(one)
      source.set('k', 2)
      await one.cache.invalidate('k')
      assert.equal(await one.cache.get('k'), 2)
      proxy.delay = 0
      await until('Redis to be invalidated', () => one.cache.report().redis?.queued === 0)
      await until('Redis to be used again', () => one.cache.report().redis?.state === 'up')
      await seesEverywhere('k', 2, [one, other])
      assertWasDown(one)
    })

    test('that gives a lease too late gets it back, so that no process waits for the load', async (t) => {
      const redis = await server()
      const proxy = await startShapedProxy(redis.port)
      proxies.push(proxy)
      // Longer than the test, so that the lease does not expire.
      const one = await machine(proxy.url, { timeout: '60s' })
      await until('Redis to be used', () => one.cache.report().redis?.subscribed)
      await storesAgain(one, redis)
      const lease = 'punctual:faults:lease:k'
      const commands: string[] = []
      t.after(await monitorRedis(redis.port, (command) => commands.push(command.join(' '))))
      proxy.delay = 3 * REDIS_TIMEOUT
      assert.equal(await one.cache.get('k'), 1)
      await until('Redis to give the lease', () => commands.some((command) => command.startsWith(`SET ${lease}`)))
      proxy.delay = 0
      await until('the lease to be released', async () => (await redis.command('EXISTS', lease)) === 0)
      assert.equal(
        await redis.command('EXISTS', 'punctual:faults:value:k'),
        0,
        'a value that was loaded without the lease is not stored',
      )
    })

    test('is invalidated completely after more invalidations than are kept', async () => {
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
      await until('Redis to be invalidated', () => cache.report().redis?.queued === 0)
      await until('the other machine to see it', async () => (await other.cache.get('k19')) === 2)
    })
  })
}
