import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms, UNBOUNDED } from '../resilience/duration.ts'
import type { Borrow } from './borrow.ts'
import { type HealthLevel, healthLevel, healthLine, type PoolHealth } from './pool-health.ts'
import { PoolWatch } from './pool-watch.ts'

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
    oldestBorrow: { by: 'auth (login.ts:42)', age: 31_000 },
    counts: { timedOut: 0, aborted: 0, cancels: 0, destroyed: 0, leaks: 0 },
  }
}

test('levels begin at 50, 80 and 95 per cent, and with a wait of more than a second', () => {
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

test('one line has everything the incident asked for', () => {
  assert.equal(
    healthLine(healthOf(19, 1_200)),
    'pool main CRITICAL: 19 of 20 active (95 %), 1 idle, 20 total, 4 waiting for up to 1.2 s; oldest borrow 31.0 s by auth (login.ts:42)',
  )
})

test('a worse level is told at once, a better one when it has held, and one that is not healthy every minute', (t) => {
  const told: string[] = []
  let health = healthOf(0)
  const watch = new PoolWatch({
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
      serverLimit: 'none',
      onEvent: () => {},
    },
    health: () => health,
    borrows: (): readonly Borrow[] => [],
    reclaim: () => {},
    tell: (type, severity) => told.push(`${type} ${severity} ${health.level}`),
  })
  t.after(() => watch.stop())
  const look = (active: number, at: number): string[] => {
    health = healthOf(active)
    watch.look(at)
    return told.splice(0)
  }
  assert.deepEqual(look(0, 0), [])
  assert.deepEqual(look(17, 1_000), ['level warn WARNING'])
  assert.deepEqual(look(20, 2_000), ['level error CRITICAL'])
  assert.deepEqual(look(2, 3_000), [])
  assert.deepEqual(look(20, 4_000), [])
  assert.deepEqual(look(20, 61_999), [])
  assert.deepEqual(look(20, 62_000), ['level error CRITICAL'])
  assert.deepEqual(look(2, 63_000), [])
  assert.deepEqual(look(2, 67_000), ['level info HEALTHY'])
  assert.deepEqual(look(2, 700_000), [])
})
