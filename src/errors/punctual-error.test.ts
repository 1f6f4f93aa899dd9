import assert from 'node:assert/strict'
import { describe, it, test } from 'node:test'
import { inspect } from 'node:util'
import { InvalidOptionError, PunctualError, UsageError } from './punctual-error.ts'

describe('PunctualError', () => {
  it('tells frameworks the status and headers of the response', () => {
    const { status, statusCode, expose, headers } = new PunctualError('PUNCTUAL_WAIT_TIMEOUT', 'secret')
    assert.deepEqual({ status, statusCode, expose }, { status: 503, statusCode: 503, expose: false })
    assert.deepEqual(headers, { 'retry-after': '1' })
  })

  it('takes Retry-After from the error if it has one, in whole seconds', () => {
    const error = Object.assign(new PunctualError('PUNCTUAL_BREAKER_OPEN', 'x'), { retryAfter: 4_200 })
    assert.deepEqual(error.headers, { 'retry-after': '5' })
  })

  it('has no status for a command', () => {
    const { status, statusCode, headers } = new UsageError('x')
    assert.deepEqual([status, statusCode, headers], [undefined, undefined, undefined])
  })

  it('lets a framework overwrite them, as Koa does', () => {
    const error = new PunctualError('PUNCTUAL_SHED', 'x')
    error.status = 429
    error.statusCode = 429
    error.headers = { 'retry-after': '60' }
    error.expose = true
    const { status, statusCode, headers, expose } = error
    assert.deepEqual([status, statusCode, headers, expose], [429, 429, { 'retry-after': '60' }, true])
  })

  it('is printed without them', () => {
    assert.doesNotMatch(inspect(new PunctualError('PUNCTUAL_SHED', 'x')), /503|expose|headers|retry-after/)
    assert.deepEqual(Object.keys(new PunctualError('PUNCTUAL_SHED', 'x')), ['code'])
  })
})

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
