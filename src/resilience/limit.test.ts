import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UNBOUNDED } from './duration.ts'
import { type Duration, readCount, readDuration } from './limit.ts'

test('a limit is a length of time with its unit, or milliseconds', () => {
  assert.equal(readDuration('x', 'timeout', '250ms'), 250)
  assert.equal(readDuration('x', 'timeout', '250ms'), 250)
  assert.equal(readDuration('x', 'timeout', '1.5s'), 1_500)
  assert.equal(readDuration('x', 'timeout', 40), 40)
  assert.equal(readDuration('x', 'timeout', 0), 0)
  assert.equal(readDuration('x', 'timeout', 'unbounded'), UNBOUNDED)
  assert.equal(readDuration('x', 'timeout', UNBOUNDED), UNBOUNDED)
})

test('what is not a duration is an invalid option', () => {
  for (const wrong of ['5', '', '-1s', '1e3ms', 'forever', Number.NaN, -1, undefined, null, {}]) {
    assert.throws(
      () => readDuration('the wait "user"', 'timeout', wrong as Duration),
      { code: 'PUNCTUAL_INVALID_OPTION', details: { option: 'timeout', given: wrong } },
      String(wrong),
    )
  }
})

test('more limits than are remembered are read all the same', () => {
  for (let index = 0; index < 3_000; index++) assert.equal(readDuration('x', 'timeout', `${index}ms`), index)
})

test('a count is a whole number in its range', () => {
  assert.equal(readCount('x', 'attempts', 3, 1), 3)
  for (const wrong of [0, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => readCount('x', 'attempts', wrong, 1), {
      code: 'PUNCTUAL_INVALID_OPTION',
      details: { option: 'attempts', given: wrong },
    })
  }
})
