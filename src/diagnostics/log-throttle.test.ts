import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms } from '../resilience/duration.ts'
import { KeyedLogThrottle, LogThrottle } from './log-throttle.ts'

test('one line is allowed in each interval', () => {
  const throttle = new LogThrottle(ms(1_000))
  assert.equal(throttle.isDue(0), true)
  assert.deepEqual(
    [0, 1, 999, 1_000, 1_500, 2_000].map((now) => throttle.shouldLog(now)),
    [true, false, false, true, false, true],
  )
  throttle.logged(2_900)
  assert.equal(throttle.isDue(3_500), false)
  assert.equal(throttle.shouldLog(3_900), true)
})

test('each key has an interval of its own; the one logged longest ago is forgotten first', () => {
  const throttle = new KeyedLogThrottle(ms(1_000), 2)
  assert.equal(throttle.shouldLog('a', 0), true)
  assert.equal(throttle.shouldLog('b', 10), true)
  assert.equal(throttle.shouldLog('a', 999), false)
  assert.equal(throttle.shouldLog('a', 1_000), true)
  assert.equal(throttle.shouldLog('c', 1_001), true)
  assert.equal(throttle.shouldLog('a', 1_002), false)
  assert.equal(throttle.shouldLog('b', 1_003), true)
})
