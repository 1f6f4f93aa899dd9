import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { type ReadThrough, readThrough } from '../../../src/cache/read-through.ts'
import type { ReadThroughOptions } from '../../../src/cache/read-through-options.ts'
import { INVALIDATE, RELEASE } from '../../../src/cache/redis/scripts.ts'
import { InvalidOptionError } from '../../../src/errors/punctual-error.ts'
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { monitorRedis } from './redis-monitor.ts'
import { startShapedProxy } from './shaped-proxy.ts'
import { onOwnMachine } from './worker-hub.ts'

const missing = redisMissing()

function invalidOption(option: string, given: unknown): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof InvalidOptionError, String(error))
    assert.equal(error.details.option, option)
    assert.equal(error.details.given, given)
    return true
  }
}

describe('a client of the app', { skip: missing ?? false }, () => {
  const clients: Redis[] = []
  const caches: ReadThrough<string, number>[] = []
  let redis: TestRedis
  let version = 1

  before(async () => {
    redis = await startRedis()
  })
  afterEach(async () => {
    for (const cache of caches.splice(0)) cache.close()
    for (const client of clients.splice(0)) client.disconnect()
    await redis.command('FLUSHALL')
    version = 1
  })
  after(() => redis?.stop())

  function connect(url = redis.url, keyPrefix = ''): Redis {
    const client = new Redis(url, { keyPrefix, retryStrategy: () => 100 })
    client.on('error', () => {})
    clients.push(client)
    return client
  }

  function cacheOver(
    client: ReadThroughOptions<string, number>['redis'] & object,
    options: Partial<ReadThroughOptions<string, number>> = {},
  ): ReadThrough<string, number> {
    const all = { load: () => version, redisTimeout: '5s', onEvent: () => {}, redis: client, ...options }
    const cache = onOwnMachine(() =>
      readThrough<string, number>('client', all as unknown as ReadThroughOptions<string, number>),
    )
    caches.push(cache)
    return cache
  }

  function allSubscribed(): Promise<unknown> {
    return until('all to be subscribed', () => caches.every((cache) => cache.report().redis?.subscribed))
  }

  test('may add a prefix to all keys: invalidations by key and by tag reach all caches', async () => {
    const [one, other, third] = Array.from({ length: 3 }, () =>
      cacheOver(connect(redis.url, 'app:'), { tags: (_value, key) => [`group:${key}`] }),
    ) as [ReadThrough<string, number>, ReadThrough<string, number>, ReadThrough<string, number>]
    await allSubscribed()
    for (const key of ['a', 'b']) await one.get(key)
    await until(
      'both values to be stored',
      async () => (await redis.command('EXISTS', 'app:punctual:client:value:a', 'app:punctual:client:value:b')) === 2,
    )
    version = 2
    assert.equal(await other.get('a'), 1)
    assert.equal(await other.get('b'), 1)
    await one.invalidate({ tag: 'group:a' })
    await one.invalidate('b')
    assert.equal(await third.get('a'), 2)
    assert.equal(await third.get('b'), 2)
    await until('the other machine to see it', async () => (await other.get('a')) === 2 && (await other.get('b')) === 2)
  })

  test('keeps its subscription for other caches when one is closed twice', async () => {
    const client = connect()
    const closed = cacheOver(client, { prefix: 'closed' })
    const one = cacheOver(client)
    const other = cacheOver(connect())
    await allSubscribed()
    closed.close()
    closed.close()
    assert.equal(await one.get('k'), 1)
    version = 2
    await other.invalidate('k')
    await until('the invalidation to arrive', async () => (await one.get('k')) === 2)
    assert.equal(one.report().redis?.subscribed, true)
  })

  test('has one channel and one subscriber for all its caches; another one is rejected', async () => {
    const client = connect()
    const first = cacheOver({ client, channel: 'app' })
    assert.throws(() => cacheOver({ client }), invalidOption('redis.channel', 'punctual:cache'))
    const subscriber = connect()
    assert.throws(
      () => cacheOver({ client, channel: 'app', subscriber }),
      invalidOption('redis.subscriber', subscriber),
    )
    cacheOver({ client, channel: 'app' })
    for (const cache of caches.splice(0)) cache.close()
    first.close()
    cacheOver({ client, channel: 'another', subscriber: connect() })
    await allSubscribed()
  })

  test('sends the pending invalidations of all its caches before it releases leases', async () => {
    const proxy = await startShapedProxy(redis.port)
    let stopMonitor = (): void => {}
    try {
      const client = connect(proxy.url)
      // Longer than the test, so that no lease expires.
      const options = { redisTimeout: '50ms', timeout: '60s' } as const
      const leases = cacheOver(client, { ...options, prefix: 'leases' })
      const invalidating = cacheOver(client, { ...options, prefix: 'invalidating' })
      await allSubscribed()
      const commands: ('probe' | 'invalidate' | 'release')[] = []
      stopMonitor = await monitorRedis(redis.port, ([command = '', script = '']) => {
        if (/^ping$/i.test(command)) commands.push('probe')
        if (script === INVALIDATE.hash || script === INVALIDATE.text) commands.push('invalidate')
        if (script === RELEASE.hash || script === RELEASE.text) commands.push('release')
      })
      proxy.delay = 500
      for (let index = 0; leases.report().redis?.state === 'up'; index++) await leases.get(`k${index}`)
      await invalidating.invalidate('k')
      assert.equal(invalidating.report().redis?.queued, 1)
      proxy.delay = 0
      await until('Redis to be invalidated', () => commands.includes('invalidate'))
      const found = commands.lastIndexOf('probe', commands.indexOf('invalidate'))
      assert.notEqual(found, -1)
      assert.equal(commands[found + 1], 'invalidate', commands.join())
      await until('all leases to be released', async () => (await redis.command('DBSIZE')) === 1)
    } finally {
      stopMonitor()
      await proxy.close()
    }
  })
})
