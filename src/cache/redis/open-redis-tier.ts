import { logEvent, safeListener } from '../../diagnostics/event-log.ts'
import { checkOptions } from '../../errors/check-options.ts'
import { type Milliseconds, readCount } from '../../resilience/duration.ts'
import { jsonCodec } from '../codec.ts'
import type { Invalidation } from '../invalidation.ts'
import {
  type CacheEvent,
  type CacheKey,
  type CacheRedisOptions,
  REDIS_OPTIONS,
  type ReadThroughOptions,
} from '../read-through-options.ts'
import type { RedisClient } from './redis-client.ts'
import { RedisLink } from './redis-link.ts'
import { RedisTier } from './redis-tier.ts'

export interface RedisTierEvents {
  readonly redisTimeout: () => Milliseconds
  readonly undecodable: () => void
  /** Another machine has invalidated something. */
  readonly invalidated: (invalidation: Invalidation) => void
  /** Invalidations may have been missed. */
  readonly missed: () => void
}

interface OpenedTier {
  readonly tier: RedisTier | null
  readonly close: () => void
}

/** Opens the second tier of a cache, if its options have one. */
export function openRedisTier<Key extends CacheKey, Value>(
  name: string,
  prefix: string,
  options: ReadThroughOptions<Key, Value>,
  events: RedisTierEvents,
): OpenedTier {
  if (options.redis === undefined) return { tier: null, close: () => {} }
  const { client, subscriber, channel = 'punctual:cache', queue = 10_000 } = redisOptions(name, options.redis)
  const queueSize = readCount(`readThrough("${name}")`, 'redis.queue', queue, 1)
  const emit = safeListener<CacheEvent>(`the cache "${name}"`, options.onEvent ?? logEvent)
  const link = RedisLink.join(client, subscriber ?? null, channel)
  let wasUndecodable = false
  const tier = new RedisTier({
    name,
    prefix,
    link,
    codec: options.codec ?? jsonCodec,
    hasTags: options.tags !== undefined,
    queueSize,
    timeout: events.redisTimeout,
    undecodable: (error) => {
      events.undecodable()
      if (wasUndecodable) return
      wasUndecodable = true
      const message = `cache "${name}": a value in Redis cannot be decoded or encoded, and counts as a miss: ${String(error)}`
      emit({ type: 'undecodable', severity: 'warn', message })
    },
    emit,
  })
  const { invalidated, missed } = events
  const unlisten = link.stream.listen({ prefix, invalidated, missed })
  const removeListener = link.onEvent(emit)
  const close = (): void => {
    removeListener()
    unlisten()
    tier.close()
    link.leave()
  }
  return { tier, close }
}

function redisOptions(name: string, redis: RedisClient | CacheRedisOptions): CacheRedisOptions {
  if (!('client' in redis) || 'duplicate' in redis) return { client: redis as RedisClient }
  checkOptions(`readThrough("${name}")`, redis, REDIS_OPTIONS, 'redis.')
  return redis
}
