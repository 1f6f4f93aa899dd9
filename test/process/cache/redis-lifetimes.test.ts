import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { type ReadThrough, readThrough } from '../../../src/cache/read-through.ts'
import type { ReadThroughOptions } from '../../../src/cache/read-through-options.ts'
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { CLIENTS, type ConnectedClient } from './clients.ts'
import { onOwnMachine } from './worker-hub.ts'

const missing = redisMissing()

describe('a value in Redis that is past its ttl is reloaded', { skip: missing ?? false }, () => {
  const clients: ConnectedClient[] = []
  const caches: ReadThrough<string, number>[] = []
  let redis: TestRedis
  let version = 1

  before(async () => {
    redis = await startRedis()
  })
  afterEach(async () => {
    for (const cache of caches.splice(0)) cache.close()
    for (const client of clients.splice(0)) await client.close()
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await redis.command('FLUSHALL')
    version = 1
  })
  after(() => redis?.stop())

  async function machine(options: Partial<ReadThroughOptions<string, number>>) {
    const connected = await CLIENTS.ioredis(redis.url)
    clients.push(connected)
    const all = {
      load: () => version,
      redis: connected.client,
      redisTimeout: '5s',
      onEvent: () => {},
      ...options,
    } as ReadThroughOptions<string, number>
    const cache = onOwnMachine(() => readThrough<string, number>('past', all))
    caches.push(cache)
    return cache
  }

  async function store(cache: ReadThrough<string, number>): Promise<void> {
    assert.equal(await cache.get('k'), 1)
    await until('the value to be stored', async () => (await redis.command('EXISTS', 'punctual:past:value:k')) === 1)
  }

  function newest(cache: ReadThrough<string, number>): Promise<unknown> {
    return until('the newest to be seen', async () => (await cache.get('k')) === 2)
  }

  for (const staleFor of ['0s', '50ms'] as const) {
    test(`even while Redis is out of memory and gives no lease, with staleFor ${staleFor}`, async () => {
      const cache = await machine({ ttl: '100ms', grace: '1h', staleFor })
      await store(cache)
      await redis.command('CONFIG', 'SET', 'maxmemory', '1')
      version = 2
      await newest(cache)
      assert.equal(await redis.command('HGET', 'punctual:past:value:k', 'v'), '1', 'Redis still has the old one')
    })
  }

  test('even with an unbounded grace', async () => {
    const cache = await machine({ ttl: '100ms', grace: 'unbounded', staleFor: '0s', tags: () => ['all'] })
    await store(cache)
    version = 2
    await newest(cache)
    await until(
      'the value to be stored',
      async () => (await redis.command('HGET', 'punctual:past:value:k', 'v')) === '2',
    )
    await cache.invalidate({ tag: 'all' })
    version = 3
    assert.equal(await cache.get('k'), 3)
  })

  test('even if it was stored with an unbounded ttl, and is read by a cache with a short one', async () => {
    await store(await machine({ ttl: 'unbounded' }))
    version = 2
    const cache = await machine({ ttl: '100ms', staleFor: '0s' })
    await newest(cache)
  })

  test('but not before, even with unbounded lifetimes', async () => {
    const options = { ttl: 'unbounded', grace: 'unbounded' } as const
    await store(await machine(options))
    version = 2
    assert.equal(await (await machine(options)).get('k'), 1)
  })
})
