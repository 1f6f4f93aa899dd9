import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms, UNBOUNDED } from '../resilience/duration.ts'
import type { Checkout } from './checkout.ts'
import { formatHealth, type HealthLevel, healthLevel, type PoolHealth } from './pool-health.ts'
import { PoolMonitor } from './pool-monitor.ts'

function healthOf(active: number, longestWait = 0): PoolHealth {
  const utilisation = active / 20
  return {
    name: 'main',
    level: healthLevel(utilisation, longestWait),
    total: 20,
    active,
    idle: 20 - active,
    waiting: longestWait > 0 ? 4 : 0,
    maximum: 20,
    utilisation,
    longestWait,
    oldestCheckout: { by: 'auth (login.ts:42)', age: 31_000 },
    counts: { timedOut: 0, aborted: 0, cancels: 0, destroyed: 0, leaks: 0 },
  }
}

test('the levels start at 50, 80 and 95 %, and at a wait of more than a second', () => {
  const levels: readonly (readonly [number, HealthLevel])[] = [
    [0, 'HEALTHY'],
    [0.49, 'HEALTHY'],
    [0.5, 'NORMAL'],
    [0.79, 'NORMAL'],
    [0.8, 'WARNING'],
    [0.94, 'WARNING'],
    [0.95, 'CRITICAL'],
    [1, 'CRITICAL'],
  ]
  for (const [utilisation, level] of levels) assert.equal(healthLevel(utilisation, 1_000), level)
  assert.equal(healthLevel(0, 1_001), 'CRITICAL')
})

test('health is formatted in one line', () => {
  assert.equal(
    formatHealth(healthOf(19, 1_200)),
    'pool main CRITICAL: 19 of 20 active (95 %), 1 idle, 20 total, 4 waiting for up to 1.2 s; oldest checkout 31.0 s by auth (login.ts:42)',
  )
})

test('a worse level is reported at once, a better one after 5 s, one that is not HEALTHY every minute', (t) => {
  const sent: string[] = []
  let health = healthOf(0)
  const monitor = new PoolMonitor({
    settings: {
      name: 'main',
      max: 20,
      acquireTimeout: ms(1),
      connectTimeout: ms(1),
      queryTimeout: ms(1),
      cancelTimeout: ms(1),
      leakThreshold: UNBOUNDED,
      reclaimTimeout: UNBOUNDED,
      maxLifetime: UNBOUNDED,
      statementTimeout: 'none',
      onEvent: () => {},
    },
    health: () => health,
    checkouts: (): readonly Checkout[] => [],
    reclaim: () => {},
    sendEvent: (type, severity) => sent.push(`${type} ${severity} ${health.level}`),
  })
  t.after(() => monitor.stop())
  const check = (active: number, at: number): string[] => {
    health = healthOf(active)
    monitor.check(at)
    return sent.splice(0)
  }
  assert.deepEqual(check(0, 0), [])
  assert.deepEqual(check(17, 1_000), ['level warn WARNING'])
  assert.deepEqual(check(20, 2_000), ['level error CRITICAL'])
  assert.deepEqual(check(2, 3_000), [])
  assert.deepEqual(check(20, 4_000), [])
  assert.deepEqual(check(20, 61_999), [])
  assert.deepEqual(check(20, 62_000), ['level error CRITICAL'])
  assert.deepEqual(check(2, 63_000), [])
  assert.deepEqual(check(2, 67_000), ['level info HEALTHY'])
  assert.deepEqual(check(2, 700_000), [])
})
