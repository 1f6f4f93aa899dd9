import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { PunctualError, UsageError } from './punctual-error.ts'

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
