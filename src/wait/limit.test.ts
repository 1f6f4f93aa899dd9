import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UNBOUNDED } from './duration.ts'
import { type Limit, readCount, readLimit } from './limit.ts'

test('a limit is a length of time with its unit, or milliseconds', () => {
  assert.equal(readLimit('x', 'limit', '250ms'), 250)
  assert.equal(readLimit('x', 'limit', '250ms'), 250)
  assert.equal(readLimit('x', 'limit', '1.5s'), 1_500)
  assert.equal(readLimit('x', 'limit', 40), 40)
  assert.equal(readLimit('x', 'limit', 0), 0)
  assert.equal(readLimit('x', 'limit', 'unbounded'), UNBOUNDED)
  assert.equal(readLimit('x', 'limit', UNBOUNDED), UNBOUNDED)
})

test('what is not a duration is an invalid option', () => {
  for (const wrong of ['5', '', '-1s', '1e3ms', 'forever', Number.NaN, -1, undefined, null, {}]) {
    assert.throws(
      () => readLimit('the wait "user"', 'limit', wrong as Limit),
      { code: 'PUNCTUAL_INVALID_OPTION', details: { option: 'limit', given: wrong } },
      String(wrong),
    )
  }
})

test('more limits than are remembered are read all the same', () => {
  for (let index = 0; index < 3_000; index++) assert.equal(readLimit('x', 'limit', `${index}ms`), index)
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
