import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { type ReadThrough, readThrough } from '../../../src/cache/read-through.ts'
import type { Duration } from '../../../src/resilience/duration.ts'
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { CLIENTS, type ConnectedClient } from './clients.ts'
import { type ShapedProxy, startShapedProxy } from './shaped-proxy.ts'
import { onOwnMachine, WorkerHub } from './worker-hub.ts'

const missing = redisMissing()
/** Milliseconds; longer than the test. */
const NEVER = 600_000

/** Runs `make` as a worker. */
type Run = <T>(make: () => T) => T
const here: Run = (make) => make()

/** One worker cannot reach Redis; others, which start later, can. */
describe('what was invalidated while Redis was unreachable', { skip: missing ?? false }, () => {
  const clients: ConnectedClient[] = []
  const caches: ReadThrough<string, number>[] = []
  const source = new Map<string, number>()
  let redis: TestRedis
  let proxy: ShapedProxy

  before(async () => {
    redis = await startRedis()
  })
  afterEach(async () => {
    for (const cache of caches.splice(0)) cache.close()
    for (const client of clients.splice(0)) await client.close()
    await proxy.close()
    await redis.command('FLUSHALL')
  })
  after(() => redis?.stop())

  async function cacheOver(url: string, prefix: string, run: Run, redisTimeout: Duration = '5s') {
    const connected = await CLIENTS.ioredis(url)
    clients.push(connected)
    const cache = run(() =>
      readThrough<string, number>(prefix, {
        load: (key) => source.get(key),
        redisTimeout,
        redis: connected.client,
        onEvent: () => {},
      }),
    )
    caches.push(cache)
    await until('it to be subscribed', () => cache.report().redis?.subscribed)
    return cache
  }

  /** Creates a cache that has invalidated a value which Redis still has. */
  async function cutOff(run: Run): Promise<void> {
    proxy = await startShapedProxy(redis.port)
    const cache = await cacheOver(proxy.url, 'late', run, '50ms')
    source.set('k', 1)
    await (await cacheOver(redis.url, 'late', onOwnMachine)).get('k')
    await until('the value to be stored', async () => (await redis.command('EXISTS', 'punctual:late:value:k')) === 1)
    proxy.delay = NEVER
    source.set('k', 2)
    await cache.invalidate('k')
    assert.equal(cache.report().redis?.queued, 1)
    assert.equal(await redis.command('EXISTS', 'punctual:late:value:k'), 1)
  }

  async function assertInvalidated(cache: ReadThrough<string, number>): Promise<void> {
    assert.equal(await cache.get('k'), 2)
    await until('Redis to be invalidated', () => cache.report().redis?.queued === 0)
    assert.equal(await cache.get('k'), 2)
  }

  test('is not read from Redis by a worker that boots before Redis is invalidated', async () => {
    const hub = new WorkerHub()
    await cutOff((make) => hub.run(1, make))
    await assertInvalidated(await cacheOver(redis.url, 'late', (make) => hub.run(2, make)))
  })

  test('nor by a cache that is created later, in a worker without these keys', async () => {
    const hub = new WorkerHub()
    const run = <T>(make: () => T): T => hub.run(2, make)
    await cacheOver(redis.url, 'other', run)
    await cutOff((make) => hub.run(1, make))
    await assertInvalidated(await cacheOver(redis.url, 'late', run))
  })

  test('nor by another cache of the same keys, created later in the same process', async () => {
    await cutOff(here)
    await assertInvalidated(await cacheOver(redis.url, 'late', here))
  })
})
