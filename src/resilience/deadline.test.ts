import assert from 'node:assert/strict'
import { test } from 'node:test'
import { monotonicNow } from './clock.ts'
import { deadlineAt, deadlineIn, NO_DEADLINE, remainingUntil, soonerOf } from './deadline.ts'
import { ms, UNBOUNDED } from './duration.ts'

test('what is left of a deadline shrinks with the clock and never falls below zero', () => {
  const deadline = deadlineIn(ms(250), 1_000)
  assert.equal(deadline, deadlineAt(1_250))
  assert.equal(remainingUntil(deadline, 1_000), 250)
  assert.equal(remainingUntil(deadline, 1_249), 1)
  assert.equal(remainingUntil(deadline, 9_000), 0)
})

test('without being told the time, a deadline uses the monotonic clock', () => {
  const before = monotonicNow()
  const deadline = deadlineIn(ms(60_000))
  assert.ok(deadline >= before + 60_000 && deadline <= monotonicNow() + 60_000)
  assert.ok(remainingUntil(deadline) <= 60_000 && remainingUntil(deadline) > 0)
})

test('an unbounded limit gives no deadline, and any other is sooner than none', () => {
  assert.equal(deadlineIn(UNBOUNDED, 5), NO_DEADLINE)
  assert.equal(remainingUntil(NO_DEADLINE), UNBOUNDED)
  assert.equal(soonerOf(NO_DEADLINE, deadlineAt(7)), 7)
  assert.equal(soonerOf(deadlineAt(7), deadlineAt(3)), 3)
})
