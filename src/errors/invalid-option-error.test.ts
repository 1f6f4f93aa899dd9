import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvalidOptionError } from './invalid-option-error.ts'

test('an invalid option is a RangeError that names the option and its value', () => {
  const error = new InvalidOptionError('the bulkhead "partner"', 'queue', -1, 'must be a whole number of at least 0')
  assert.ok(error instanceof RangeError)
  assert.equal(error.name, 'InvalidOptionError')
  assert.equal(error.code, 'PUNCTUAL_INVALID_OPTION')
  assert.deepEqual(error.details, { option: 'queue', given: -1 })
  assert.equal(error.message, 'the bulkhead "partner": queue must be a whole number of at least 0, got -1')
})

test('any value is shown in a few characters', () => {
  const messages = ['5', undefined, null, Number.NaN, {}, Symbol('x'), Object.create(null)].map(
    (given) => new InvalidOptionError('x', 'timeout', given, 'must be a duration').message.split('got ')[1],
  )
  assert.deepEqual(messages, ['"5"', 'undefined', 'null', 'NaN', '[object Object]', 'Symbol(x)', '[object Object]'])
})
