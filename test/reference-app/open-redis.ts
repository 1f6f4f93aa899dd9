import type { FastifyBaseLogger } from 'fastify'
import { Redis } from 'ioredis'

/**
 * Connects to Redis, and reconnects for as long as the app runs. The cache itself reports when
 * Redis is unavailable.
 */
export function openRedis(url: string, log: FastifyBaseLogger): Redis {
  const redis = new Redis(url, { retryStrategy: (times) => Math.min(times * 50, 1_000) })
  redis.on('error', (error: Error) => log.debug({ error: error.message }, 'Redis'))
  return redis
}
