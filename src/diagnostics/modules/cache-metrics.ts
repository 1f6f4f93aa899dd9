import type { ModuleMetric } from '../metric-definition.ts'
import type { CacheCounts, CacheRedisReport, CacheReport, CacheRoomReport } from './cache-report.ts'

type CacheMetric = ModuleMetric<CacheRoomReport>

const CACHE = ['cache']

function ofEach(figure: (cache: CacheReport) => number): CacheMetric['values'] {
  return ({ caches }) => caches.map((cache) => ({ labels: { cache: cache.name }, value: figure(cache) }))
}

function ofRedis(figure: (redis: CacheRedisReport) => number): CacheMetric['values'] {
  return ({ caches }) =>
    caches.flatMap(({ name, redis }) => (redis === null ? [] : [{ labels: { cache: name }, value: figure(redis) }]))
}

function counter(name: string, of: keyof CacheCounts, help: string): CacheMetric {
  return { name, type: 'counter', help, labels: CACHE, values: ofEach(({ counts }) => counts[of]) }
}

/** What `/metrics` shows of the caches. */
export const cacheMetrics: readonly CacheMetric[] = [
  {
    name: 'punctual_cache_hits_total',
    type: 'counter',
    help: 'Answers of a cache, by the tier that had the value.',
    labels: ['cache', 'tier'],
    values: ({ caches }) =>
      caches.flatMap(({ name, counts }) => [
        { labels: { cache: name, tier: 'memory' }, value: counts.hitsMemory },
        { labels: { cache: name, tier: 'redis' }, value: counts.hitsRedis },
      ]),
  },
  counter('punctual_cache_misses_total', 'misses', 'Questions that neither tier could answer.'),
  counter('punctual_cache_stale_total', 'stale', 'Answers past their ttl, given while the value was loaded anew.'),
  counter('punctual_cache_degraded_total', 'degraded', 'Answers past their ttl, given because a load failed.'),
  counter('punctual_cache_loads_total', 'loads', 'Loads begun.'),
  counter('punctual_cache_load_errors_total', 'loadErrors', 'Loads that failed or took longer than their limit.'),
  counter('punctual_cache_loads_abandoned_total', 'loadsAbandoned', 'Loads cancelled because every caller had left.'),
  counter('punctual_cache_coalesced_total', 'coalesced', 'Callers that shared a load somebody else had begun.'),
  counter('punctual_cache_backed_off_total', 'backedOff', 'Callers given the error of a load that had just failed.'),
  counter('punctual_cache_refreshes_total', 'refreshes', 'Loads begun before their value had expired.'),
  counter('punctual_cache_invalidations_total', 'invalidations', 'Invalidations, of keys, tags and whole caches.'),
  counter('punctual_cache_undecodable_total', 'undecodable', 'Values in Redis that could not be decoded.'),
  {
    name: 'punctual_cache_items',
    type: 'gauge',
    help: 'Entries in memory.',
    labels: CACHE,
    values: ofEach(({ items }) => items),
  },
  {
    name: 'punctual_cache_bytes',
    type: 'gauge',
    help: 'What the entries in memory take, estimated.',
    labels: CACHE,
    values: ofEach(({ bytes }) => bytes),
  },
  {
    name: 'punctual_cache_on',
    type: 'gauge',
    help: '0 while a cache is switched off by a ttl of 0, else 1.',
    labels: CACHE,
    values: ofEach(({ on }) => (on ? 1 : 0)),
  },
  {
    name: 'punctual_cache_redis_up',
    type: 'gauge',
    help: '1 while Redis is asked, 0 while its connection is lost or its breaker is open.',
    labels: CACHE,
    values: ofRedis(({ state }) => (state === 'up' ? 1 : 0)),
  },
  {
    name: 'punctual_cache_redis_hears',
    type: 'gauge',
    help: '1 while invalidations of other machines are heard, else 0.',
    labels: CACHE,
    values: ofRedis(({ hears }) => (hears ? 1 : 0)),
  },
  {
    name: 'punctual_cache_redis_answers_total',
    type: 'counter',
    help: 'Commands that Redis has answered.',
    labels: CACHE,
    values: ofRedis(({ answers }) => answers),
  },
  {
    name: 'punctual_cache_redis_answer_seconds_total',
    type: 'counter',
    help: 'How long those answers took, together; divide by their number for the mean.',
    labels: CACHE,
    values: ofRedis(({ answerTime }) => answerTime / 1_000),
  },
  {
    name: 'punctual_cache_redis_failures_total',
    type: 'counter',
    help: 'Commands that failed or took longer than the soft limit.',
    labels: CACHE,
    values: ofRedis(({ failures }) => failures),
  },
  {
    name: 'punctual_cache_redis_queued',
    type: 'gauge',
    help: 'Invalidations that Redis has not been told yet.',
    labels: CACHE,
    values: ofRedis(({ queued }) => queued),
  },
]
