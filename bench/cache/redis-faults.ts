import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { type ReadThrough, readThrough } from '../../src/cache/read-through.ts'
import { startShapedProxy } from '../../test/process/cache/shaped-proxy.ts'
import { startRedis, type TestRedis } from '../../test/process/support/redis.ts'
import { until } from '../../test/process/support/until.ts'

/** Latency of requests while Redis fails, in milliseconds. */
export interface FaultFigures {
  readonly fault: string
  readonly requests: number
  readonly failed: number
  readonly p50: number
  readonly p99: number
  readonly most: number
}

const CONCURRENCY = 10
/** Latency of the source, in milliseconds. */
const LOAD_TIME = 5

interface Drill {
  readonly fault: string
  begin(redis: TestRedis, proxy: { delay: number }): void | Promise<void>
}

const DRILLS: readonly Drill[] = [
  { fault: 'healthy', begin: () => {} },
  { fault: 'stopped (SIGSTOP)', begin: (redis) => redis.freeze() },
  { fault: 'killed (SIGKILL)', begin: (redis) => redis.kill() },
  { fault: '`FLUSHALL`', begin: async (redis) => void (await redis.command('FLUSHALL')) },
  {
    fault: '`maxmemory` reached',
    begin: async (redis) => void (await redis.command('CONFIG', 'SET', 'maxmemory', '1')),
  },
  {
    fault: 'every reply delayed by 2 s',
    begin: (_redis, proxy) => {
      proxy.delay = 1_000
    },
  },
]

/** Measures misses of new keys from the start of each fault; the first row is without Redis. */
export async function measureFaults(requests: number): Promise<readonly FaultFigures[]> {
  const without = cacheOver(null)
  const figures = [await ask('not configured', without, requests)]
  without.close()
  for (const { fault, begin } of DRILLS) {
    const redis = await startRedis()
    const proxy = await startShapedProxy(redis.port)
    const client = new Redis(proxy.url, { retryStrategy: () => 100 })
    const cache = cacheOver(client)
    try {
      await until('the Redis subscription', () => cache.report().redis?.subscribed)
      await ask(fault, cache, 200)
      await begin(redis, proxy)
      figures.push(await ask(fault, cache, requests))
    } finally {
      cache.close()
      client.disconnect()
      await proxy.close()
      await redis.stop()
    }
  }
  return figures
}

let used = 0

function cacheOver(client: Redis | null): ReadThrough<string, string> {
  return readThrough<string, string>('bench', {
    load: (key) => sleep(LOAD_TIME, key),
    onEvent: () => {},
    ...(client === null ? {} : { redis: client }),
  })
}

async function ask(fault: string, cache: ReadThrough<string, string>, requests: number): Promise<FaultFigures> {
  const times: number[] = []
  let failed = 0
  const caller = async (): Promise<void> => {
    for (let index = 0; index < requests / CONCURRENCY; index++) {
      const key = `key ${++used}`
      const from = performance.now()
      if ((await cache.get(key).catch(() => undefined)) !== key) failed++
      times.push(performance.now() - from)
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, caller))
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.ceil(times.length * share) - 1] ?? 0
  return { fault, requests: times.length, failed, p50: at(0.5), p99: at(0.99), most: at(1) }
}
