import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BackOff, delayAfter } from './back-off.ts'

function make(jitter: BackOff['jitter'], random: number): BackOff {
  return { jitter, initialDelay: 100, maxDelay: 1_000, random: () => random }
}

test('full jitter ranges from 0 to the doubled initial delay, up to the maximum', () => {
  assert.deepEqual(
    [1, 2, 3, 9, 5_000].map((attempt) => delayAfter(make('full', 1), attempt, 0)),
    [100, 200, 400, 1_000, 1_000],
  )
  assert.equal(delayAfter(make('full', 0), 3, 0), 0)
  assert.equal(delayAfter(make('full', 0.5), 3, 0), 200)
})

test('decorrelated jitter ranges from the initial delay to three times the previous delay', () => {
  assert.equal(delayAfter(make('decorrelated', 1), 1, 0), 100)
  assert.equal(delayAfter(make('decorrelated', 0), 2, 250), 100)
  assert.equal(delayAfter(make('decorrelated', 1), 2, 250), 750)
  assert.equal(delayAfter(make('decorrelated', 1), 3, 750), 1_000)
})
