import type { ModuleMetric } from '../diagnostics/metric-definition.ts'

/** Topic of the reports of caches, and of the messages between them. */
export const CACHE_TOPIC = 'cache'

/** What a worker reports of its caches. */
export interface CacheModuleReport {
  readonly caches: readonly CacheReport[]
  /** Other workers of this machine that have caches; 0 outside of Punctual. */
  readonly peers: number
}

/** One cache in one worker. */
export interface CacheReport {
  readonly name: string
  /** Entries in memory. */
  readonly items: number
  /** Memory they take, estimated. */
  readonly bytes: number
  /** Share of calls answered from memory or Redis, 0 to 1; null before the first call. */
  readonly hitRate: number | null
  /** False while its `ttl` is 0. */
  readonly enabled: boolean
  readonly counts: CacheCounts
  /** Null without a second tier. */
  readonly redis: CacheRedisReport | null
}

/** Since the cache was created. */
export interface CacheCounts {
  readonly hitsMemory: number
  readonly hitsRedis: number
  /** Calls that waited for a load, or got its error. */
  readonly misses: number
  /** Calls that got a value past its `ttl` while it was reloaded. */
  readonly stale: number
  /** Calls that got an old value because the load failed or timed out. */
  readonly degraded: number
  readonly loads: number
  readonly loadErrors: number
  /** Loads that were cancelled because their last caller left. */
  readonly loadsAbandoned: number
  /** Calls that joined a load of another call. */
  readonly coalesced: number
  /** Calls that got the error of an earlier load during its back-off. */
  readonly backedOff: number
  /** Loads started before the value expired. */
  readonly refreshes: number
  /** Loads that waited for another process. */
  readonly peerWaits: number
  readonly invalidations: number
  /** Values in Redis that could not be decoded. */
  readonly undecodable: number
  /**
   * Values that were not stored in Redis: invalidated in the meantime, or Redis was out of memory.
   */
  readonly storesRefused: number
}

export interface CacheRedisReport {
  /** `down`: its connection is lost, or its breaker is open, and it is not used. */
  readonly state: 'up' | 'down'
  readonly breaker: 'closed' | 'open' | 'half-open'
  /** Whether invalidations of other machines are received. */
  readonly subscribed: boolean
  /** Commands that Redis has replied to. */
  readonly commands: number
  /** Milliseconds that those took together. */
  readonly commandTime: number
  /** Commands that failed or took longer than `redisTimeout`. */
  readonly failures: number
  /** Invalidations that Redis does not have yet. */
  readonly queued: number
}

type CacheMetric = ModuleMetric<CacheModuleReport>

const CACHE = ['cache']

function ofEach(value: (cache: CacheReport) => number): CacheMetric['values'] {
  return ({ caches }) => caches.map((cache) => ({ labels: { cache: cache.name }, value: value(cache) }))
}

function ofRedis(value: (redis: CacheRedisReport) => number): CacheMetric['values'] {
  return ({ caches }) =>
    caches.flatMap(({ name, redis }) => (redis === null ? [] : [{ labels: { cache: name }, value: value(redis) }]))
}

function counter(name: string, of: keyof CacheCounts, help: string): CacheMetric {
  return { name, type: 'counter', help, labels: CACHE, values: ofEach(({ counts }) => counts[of]) }
}

function gauge(name: string, help: string, values: CacheMetric['values']): CacheMetric {
  return { name, type: 'gauge', help, labels: CACHE, values }
}

function redisCounter(name: string, help: string, value: (redis: CacheRedisReport) => number): CacheMetric {
  return { name, type: 'counter', help, labels: CACHE, values: ofRedis(value) }
}

/** The metrics of the caches. */
export const cacheMetrics: readonly CacheMetric[] = [
  {
    name: 'punctual_cache_hits_total',
    type: 'counter',
    help: 'Calls answered from a tier.',
    labels: ['cache', 'tier'],
    values: ({ caches }) =>
      caches.flatMap(({ name, counts }) => [
        { labels: { cache: name, tier: 'memory' }, value: counts.hitsMemory },
        { labels: { cache: name, tier: 'redis' }, value: counts.hitsRedis },
      ]),
  },
  counter('punctual_cache_misses_total', 'misses', 'Calls that no tier could answer.'),
  counter('punctual_cache_stale_total', 'stale', 'Calls that got a value past its ttl while it was reloaded.'),
  counter('punctual_cache_degraded_total', 'degraded', 'Calls that got an old value because a load failed.'),
  counter('punctual_cache_loads_total', 'loads', 'Loads started.'),
  counter('punctual_cache_load_errors_total', 'loadErrors', 'Loads that failed or timed out.'),
  counter('punctual_cache_loads_abandoned_total', 'loadsAbandoned', 'Loads cancelled because their last caller left.'),
  counter('punctual_cache_coalesced_total', 'coalesced', 'Calls that joined a load of another call.'),
  counter('punctual_cache_backed_off_total', 'backedOff', 'Calls that got the error of an earlier load.'),
  counter('punctual_cache_refreshes_total', 'refreshes', 'Loads started before the value expired.'),
  counter('punctual_cache_invalidations_total', 'invalidations', 'Invalidations of keys, tags and whole caches.'),
  counter('punctual_cache_undecodable_total', 'undecodable', 'Values in Redis that could not be decoded.'),
  gauge(
    'punctual_cache_items',
    'Entries in memory.',
    ofEach(({ items }) => items),
  ),
  gauge(
    'punctual_cache_bytes',
    'Memory that the entries take, estimated.',
    ofEach(({ bytes }) => bytes),
  ),
  gauge(
    'punctual_cache_enabled',
    '0 while a ttl of 0 disables the cache, else 1.',
    ofEach(({ enabled }) => (enabled ? 1 : 0)),
  ),
  gauge(
    'punctual_cache_redis_up',
    '1 while Redis is used, 0 while its connection is lost or its breaker is open.',
    ofRedis(({ state }) => (state === 'up' ? 1 : 0)),
  ),
  gauge(
    'punctual_cache_redis_subscribed',
    '1 while invalidations of other machines are received, else 0.',
    ofRedis(({ subscribed }) => (subscribed ? 1 : 0)),
  ),
  redisCounter(
    'punctual_cache_redis_commands_total',
    'Commands that Redis has replied to.',
    ({ commands }) => commands,
  ),
  redisCounter(
    'punctual_cache_redis_command_seconds_total',
    'Duration of those commands together; divide by their number for the mean.',
    ({ commandTime }) => commandTime / 1_000,
  ),
  redisCounter(
    'punctual_cache_redis_failures_total',
    'Commands that failed or took longer than redisTimeout.',
    ({ failures }) => failures,
  ),
  gauge(
    'punctual_cache_redis_queued',
    'Invalidations that Redis does not have yet.',
    ofRedis(({ queued }) => queued),
  ),
]
