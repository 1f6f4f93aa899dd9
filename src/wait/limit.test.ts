import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UNBOUNDED } from './duration.ts'
import { type Limit, readCount, readLimit } from './limit.ts'

test('a limit is a length of time with its unit, or milliseconds', () => {
  assert.equal(readLimit('x', '250ms'), 250)
  assert.equal(readLimit('x', '250ms'), 250)
  assert.equal(readLimit('x', '1.5s'), 1_500)
  assert.equal(readLimit('x', 40), 40)
  assert.equal(readLimit('x', 0), 0)
  assert.equal(readLimit('x', 'unbounded'), UNBOUNDED)
  assert.equal(readLimit('x', UNBOUNDED), UNBOUNDED)
})

test('what is no length of time is refused, saying whose limit it was and what to write', () => {
  for (const wrong of ['5', '', '-1s', '1e3ms', 'forever', Number.NaN, -1, undefined, null, {}]) {
    assert.throws(
      () => readLimit('the wait "user"', wrong as Limit),
      { name: 'RangeError', message: /^the wait "user": .* is no length of time; write e\.g\. '250ms'/ },
      String(wrong),
    )
  }
})

test('more limits than are remembered are read all the same', () => {
  for (let index = 0; index < 3_000; index++) assert.equal(readLimit('x', `${index}ms`), index)
})

test('a count is a whole number in its range', () => {
  assert.equal(readCount('attempts', 3, 1), 3)
  for (const wrong of [0, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => readCount('attempts', wrong, 1), /^RangeError: attempts: .* whole number from 1 upwards$/)
  }
})
