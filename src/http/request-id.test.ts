import assert from 'node:assert/strict'
import { test } from 'node:test'
import { requestId } from './request-id.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'

test('a sane id of the client is kept', () => {
  assert.equal(requestId(['Host', 'x', 'X-Request-Id', 'abc-1.2:3']), 'abc-1.2:3')
})

test('without one, the trace it belongs to is its id', () => {
  assert.equal(requestId(['traceparent', `00-${TRACE}-00f067aa0ba902b7-01`]), TRACE)
  assert.equal(requestId(['traceparent', `00-${TRACE}-00f067aa0ba902b7-01`, 'x-request-id', 'mine']), 'mine')
})

test('what could forge a line of the log, or is no trace, is replaced by a new one', () => {
  for (const headers of [
    ['x-request-id', 'a b'],
    ['x-request-id', ''],
    ['x-request-id', '{"level":"fatal"}'],
    ['x-request-id', 'x'.repeat(129)],
    ['traceparent', `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`],
    ['traceparent', 'nonsense'],
    [],
  ]) {
    assert.match(requestId(headers), /^[\da-f]{32}$/)
  }
})

test('no two are alike', () => {
  assert.equal(new Set(Array.from({ length: 1_000 }, () => requestId([]))).size, 1_000)
})
