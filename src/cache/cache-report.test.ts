import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cacheMetrics } from './cache-report.ts'
import { readThrough } from './read-through.ts'

test('each metric of a cache has a valid name and its value', async () => {
  const cache = readThrough<string, number>('auth:user', { load: () => 1 })
  await cache.get('7')
  await cache.get('7')
  const redis = {
    state: 'up',
    breaker: 'closed',
    subscribed: false,
    commands: 2,
    commandTime: 5,
    failures: 1,
    queued: 3,
  } as const
  const snapshot = { caches: [{ ...cache.report(), redis }], peers: 0 }
  cache.close()
  const values = new Map<string, number>()
  for (const metric of cacheMetrics) {
    assert.match(metric.name, /^punctual_cache_[a-z_]+$/)
    assert.equal(metric.type === 'counter', metric.name.endsWith('_total'), metric.name)
    for (const { labels, value } of metric.values(snapshot)) {
      assert.deepEqual(Object.keys(labels), metric.labels)
      values.set([metric.name, labels.tier].filter(Boolean).join(' '), value)
    }
  }
  assert.equal(values.get('punctual_cache_hits_total memory'), 1)
  assert.equal(values.get('punctual_cache_misses_total'), 1)
  assert.equal(values.get('punctual_cache_redis_command_seconds_total'), 0.005)
  assert.equal(values.get('punctual_cache_redis_up'), 1)
  assert.equal(values.get('punctual_cache_redis_subscribed'), 0)
  assert.equal(values.get('punctual_cache_items'), 1)
})
