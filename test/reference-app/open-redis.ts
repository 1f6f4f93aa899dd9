import type { FastifyBaseLogger } from 'fastify'
import { Redis } from 'ioredis'

/** A connection to Redis, which is tried again for as long as the app runs; what the cache makes of its absence, it says itself. */
export function openRedis(url: string, log: FastifyBaseLogger): Redis {
  const redis = new Redis(url, { retryStrategy: (times) => Math.min(times * 50, 1_000) })
  redis.on('error', (error: Error) => log.debug({ error: error.message }, 'Redis'))
  return redis
}
