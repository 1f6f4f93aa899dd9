import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ReadThrough, readThrough } from '../../../src/cache/read-through.ts'
import type { CacheEvent } from '../../../src/cache/read-through-options.ts'
import { CLIENTS, type ConnectedClient } from '../../process/cache/clients.ts'
import { onOwnMachine } from '../../process/cache/worker-hub.ts'
import { type SilentProxy, startSilentProxy } from '../../process/database/silent-proxy.ts'
import { redisMissing, startRedis, type TestRedis } from '../../process/support/redis.ts'
import { until } from '../../process/support/until.ts'

const missing = redisMissing()

for (const [library, connect] of Object.entries(CLIENTS)) {
  describe(`a cache in the Redis of an app, over ${library}`, { skip: missing ?? false }, () => {
    const clients: ConnectedClient[] = []
    const caches: ReadThrough<string, number>[] = []
    const source = new Map<string, number>()
    let redis: TestRedis
    let proxy: SilentProxy

    before(async () => {
      redis = await startRedis()
      proxy = await startSilentProxy(redis.port)
    })

    after(async () => {
      for (const cache of caches) cache.close()
      for (const client of clients) await client.close()
      await proxy?.close()
      await redis?.stop()
    })

    async function machine(url: string, events: CacheEvent[] = []): Promise<ReadThrough<string, number>> {
      const connected = await connect(url)
      clients.push(connected)
      const cache = onOwnMachine(() =>
        readThrough<string, number>('user', {
          load: async (key) => source.get(key) ?? 1,
          redis: connected.client,
          redisTimeout: '500ms',
          timeout: '2s',
          onEvent: (event) => events.push(event),
        }),
      )
      caches.push(cache)
      await until('the cache to be subscribed', () => cache.report().redis?.subscribed)
      return cache
    }

    test('uses no key of the app, also if its name is a prefix of the keys of the app', async () => {
      await redis.command('SET', 'user:5', 'of the app')
      const cache = await machine(redis.url)
      await cache.get('5')
      const count = async (pattern: string): Promise<number> =>
        Number(await redis.command('EVAL', "return #redis.call('KEYS', ARGV[1])", '0', pattern))
      await until('the value to be stored', async () => (await count('punctual:user:*')) > 0)
      assert.equal(await redis.command('GET', 'user:5'), 'of the app')
      await cache.invalidate('5')
      assert.equal(await redis.command('GET', 'user:5'), 'of the app')
      assert.equal(await count('*'), (await count('punctual:user:*')) + 1)
    })

    const refusals: Record<string, { begin: string[]; end: string[] }> = {
      READONLY: { begin: ['REPLICAOF', '127.0.0.1', '1'], end: ['REPLICAOF', 'NO', 'ONE'] },
      NOREPLICAS: {
        begin: ['CONFIG', 'SET', 'min-replicas-to-write', '1'],
        end: ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
      },
      NOPERM: { begin: ['ACL', 'SETUSER', 'default', '-del'], end: ['ACL', 'SETUSER', 'default', '+del'] },
    }
    for (const [code, { begin, end }] of Object.entries(refusals)) {
      test(`is down once, not up and down, while Redis answers ${code}, and up again afterwards`, async () => {
        const events: CacheEvent[] = []
        const cache = await machine(redis.url, events)
        const types = (): string[] => events.map(({ type }) => type).filter((type) => type !== 'unsubscribed')
        await redis.command(...begin)
        try {
          const end = performance.now() + 3_000
          for (let round = 0; performance.now() < end; round++) {
            source.set('k', round)
            await cache.invalidate('k')
            assert.equal(await cache.get('k'), round)
            await cache.get(`key ${round}`)
            await sleep(20)
          }
          assert.deepEqual(types(), ['redis-down'])
          assert.equal(cache.report().redis?.state, 'down')
        } finally {
          await redis.command(...end)
        }
        await until('Redis to be used again', async () => {
          await cache.get(`key ${performance.now()}`)
          return cache.report().redis?.state === 'up'
        })
        assert.deepEqual(types(), ['redis-down', 'redis-up'])
        await until('the invalidations to arrive', () => cache.report().redis?.queued === 0)
      })
    }

    test('is fresh within two seconds of the end of a silent partition', async () => {
      source.set('shared', 1)
      const near = await machine(redis.url)
      const far = await machine(`redis://127.0.0.1:${proxy.port}`)
      assert.deepEqual([await near.get('shared'), await far.get('shared')], [1, 1])
      proxy.silence()
      await until('the partition to be noticed', () => far.report().redis?.subscribed === false)
      source.set('shared', 2)
      await near.invalidate('shared')
      await sleep(6_000)
      // What was sent during the partition is lost, as with TCP it arrives much later.
      proxy.speakToNew()
      const healedAt = performance.now()
      await until('the value to be fresh', async () => (await far.get('shared')) === 2)
      const took = performance.now() - healedAt
      // Two seconds, and what a busy machine adds.
      assert.ok(took < 4_000, `${took} ms`)
      await until('Redis to be used again', () => far.report().redis?.state === 'up')
    })
  })
}
