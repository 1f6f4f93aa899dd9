import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Duration,
  formatDuration,
  formatElapsed,
  ms,
  parseDuration,
  readCount,
  readDuration,
  UNBOUNDED,
} from './duration.ts'

test('a duration has a unit, or is the word unbounded', () => {
  assert.equal(parseDuration('250ms'), 250)
  assert.equal(parseDuration('1.5s'), 1_500)
  assert.equal(parseDuration('10m'), 600_000)
  assert.equal(parseDuration('2h'), 7_200_000)
  assert.equal(parseDuration('1d'), 86_400_000)
  assert.equal(parseDuration('unbounded'), UNBOUNDED)
})

test('any other text is not a duration', () => {
  for (const text of ['', '5', 's', '-1s', '5 s', '5S', 'NaN', 'Infinity', '1e3ms', '0x10ms', 'forever']) {
    assert.equal(parseDuration(text), undefined, text)
  }
})

test('a formatted duration parses to the same value', () => {
  for (const value of [
    0,
    1,
    999,
    1_000,
    1_500,
    59_000,
    60_000,
    90_000,
    3_600_000,
    86_400_000,
    Number.POSITIVE_INFINITY,
  ]) {
    assert.equal(parseDuration(formatDuration(ms(value))), value)
  }
})

test('an elapsed time has the unit that a person would use', () => {
  assert.deepEqual([211.6, 5_000, 200_000].map(formatElapsed), ['212 ms', '5.0 s', '3.3 min'])
})

test('a duration option is a text with a unit, or milliseconds', () => {
  assert.equal(readDuration('x', 'timeout', '250ms'), 250)
  assert.equal(readDuration('x', 'timeout', '250ms'), 250)
  assert.equal(readDuration('x', 'timeout', '1.5s'), 1_500)
  assert.equal(readDuration('x', 'timeout', 40), 40)
  assert.equal(readDuration('x', 'timeout', 0), 0)
  assert.equal(readDuration('x', 'timeout', 'unbounded'), UNBOUNDED)
  assert.equal(readDuration('x', 'timeout', UNBOUNDED), UNBOUNDED)
})

test('any other value is an invalid option', () => {
  for (const wrong of ['5', '', '-1s', '1e3ms', 'forever', Number.NaN, -1, undefined, null, {}]) {
    assert.throws(
      () => readDuration('the wait "user"', 'timeout', wrong as Duration),
      { code: 'PUNCTUAL_INVALID_OPTION', details: { option: 'timeout', given: wrong } },
      String(wrong),
    )
  }
})

test('more durations than are remembered can be read', () => {
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
