/** `punctual/cache`: a read-through cache in memory and Redis. */

export type { CacheCounts, CacheRedisReport, CacheReport } from './cache-report.ts'
export type { CacheCodec } from './codec.ts'
export { CacheValueError } from './freeze-clone.ts'
export { type ReadThrough, readThrough } from './read-through.ts'
export type {
  CacheEvent,
  CacheEventType,
  CacheKey,
  CacheRedisOptions,
  GetOptions,
  ReadThroughOptions,
} from './read-through-options.ts'
export type { RedisClient } from './redis/redis-client.ts'
