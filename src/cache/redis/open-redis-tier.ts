import { safeListener } from '../../diagnostics/safe-listener.ts'
import { type Milliseconds, readCount } from '../../resilience/duration.ts'
import { tellConsole } from '../cache-events.ts'
import { jsonCodec } from '../codec.ts'
import type { Drop } from '../drop.ts'
import type { CacheKey, CacheRedisOptions, ReadThroughOptions } from '../read-through-options.ts'
import type { RedisClient } from './redis-client.ts'
import { RedisLink } from './redis-link.ts'
import { RedisTier } from './redis-tier.ts'

export interface RedisTierHooks {
  readonly softTimeout: () => Milliseconds
  readonly undecodable: () => void
  /** Another machine has invalidated this. */
  readonly hearDrop: (drop: Drop) => void
  /** Something may have been invalidated unheard. */
  readonly missed: () => void
}

interface OpenedTier {
  readonly tier: RedisTier | null
  readonly close: () => void
}

/** The second tier of a cache, if its options name one. */
export function openRedisTier<Key extends CacheKey, Value>(
  name: string,
  prefix: string,
  options: ReadThroughOptions<Key, Value>,
  hooks: RedisTierHooks,
): OpenedTier {
  if (options.redis === undefined) return { tier: null, close: () => {} }
  const { client, subscriber, channel = 'punctual:cache', queue = 10_000 } = redisOptions(options.redis)
  const most = readCount(`readThrough("${name}")`, 'redis.queue', queue, 1)
  const tell = safeListener(`the cache "${name}"`, options.onEvent ?? tellConsole)
  const link = RedisLink.join(client, subscriber ?? null, channel)
  let hasToldUndecodable = false
  const tier = new RedisTier({
    name,
    prefix,
    link,
    codec: options.codec ?? jsonCodec,
    hasTags: options.tags !== undefined,
    queue: most,
    softTimeout: hooks.softTimeout,
    undecodable: (error) => {
      hooks.undecodable()
      if (hasToldUndecodable) return
      hasToldUndecodable = true
      const message = `the cache "${name}": a value in Redis could not be read or written, and counts as a miss: ${String(error)}`
      tell({ type: 'undecodable', severity: 'warn', message })
    },
    tell,
  })
  const { hearDrop, missed } = hooks
  const unlisten = link.stream.listen({ prefix, hearDrop, missed })
  const unhear = link.onEvent(tell)
  const close = (): void => {
    unhear()
    unlisten()
    tier.close()
    link.leave()
  }
  return { tier, close }
}

function redisOptions(redis: RedisClient | CacheRedisOptions): CacheRedisOptions {
  return 'client' in redis && !('duplicate' in redis) ? redis : { client: redis as RedisClient }
}
