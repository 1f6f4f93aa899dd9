import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wallClock } from '../resilience/clock.ts'
import { requestId, TimingHeaders } from './request-headers.ts'

function read(...rawHeaders: string[]): TimingHeaders {
  const headers = new TimingHeaders()
  headers.read(['Host', 'x', ...rawHeaders, 'Accept', '*/*'])
  return headers
}

test('the time in the queue of a proxy counts, in all formats of X-Request-Start', () => {
  const since = wallClock().getTime() - 3_000
  const forms = [`t=${since / 1_000}`, `${since}`, `t=${since * 1_000}`, String(Math.floor(since / 1_000))]
  for (const form of forms) {
    const { queued } = read('X-Request-Start', form)
    assert.ok(queued >= 3_000 && queued < 10_000, `${form} gave ${queued}`)
  }
})

test('a clock ahead of ours, or an invalid time, is ignored', () => {
  for (const form of [`${wallClock().getTime() + 60_000}`, '', 'soon', 't=', '-5', '12', 'NaN']) {
    assert.equal(read('x-request-start', form).queued, 0, form)
  }
})

test('a caller may say how long it waits: in milliseconds, or in the format of gRPC', () => {
  for (const [name, value, allowed] of [
    ['Request-Timeout', '1500', 1_500],
    ['X-Request-Deadline', '250.5', 250.5],
    ['grpc-timeout', '2S', 2_000],
    ['grpc-timeout', '100m', 100],
    ['grpc-timeout', '5000u', 5],
    ['grpc-timeout', '1H', 3_600_000],
  ] as const) {
    assert.equal(read(name, value).allowed, allowed, `${name}: ${value}`)
  }
})

test('the shortest of several timeouts holds, and invalid ones are ignored', () => {
  assert.equal(read('Request-Timeout', '900', 'grpc-timeout', '1S').allowed, 900)
  for (const value of ['', '-1', '5s', '1e3', '99999999999', 'NaN', 'unbounded']) {
    assert.equal(read('request-timeout', value).allowed, Number.POSITIVE_INFINITY, value)
  }
  assert.equal(read('grpc-timeout', '123456789S').allowed, Number.POSITIVE_INFINITY)
  assert.equal(read('grpc-timeout', '5x').allowed, Number.POSITIVE_INFINITY)
})

test('other headers of the same lengths and first letters are ignored', () => {
  const others = [
    'x-forwarded-for',
    'x-rate-limit',
    'range-and-more',
    'accept-encoding',
    'sec-ch-ua-platform',
    'got-timeout',
    'referer-polic',
  ]
  const headers = read(...others.flatMap((name) => [name, '5']))
  assert.deepEqual([headers.queued, headers.allowed], [0, Number.POSITIVE_INFINITY])
  assert.equal(read('X-REQUEST-DEADLINE', '5').allowed, 5)
  assert.equal(read('Grpc-Timeout', '5m').allowed, 5)
  assert.equal(read('Request-Timeout', '7').allowed, 7)
})

test('nothing is kept of the previous request', () => {
  const headers = read('request-timeout', '5')
  headers.read([])
  assert.equal(headers.allowed, Number.POSITIVE_INFINITY)
  assert.equal(headers.queued, 0)
})

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'

test('a valid X-Request-Id is kept', () => {
  assert.equal(requestId(['Host', 'x', 'X-Request-Id', 'abc-1.2:3']), 'abc-1.2:3')
})

test('without X-Request-Id the trace id is used', () => {
  assert.equal(requestId(['traceparent', `00-${TRACE}-00f067aa0ba902b7-01`]), TRACE)
  assert.equal(requestId(['traceparent', `00-${TRACE}-00f067aa0ba902b7-01`, 'x-request-id', 'mine']), 'mine')
})

test('an id that could forge a log line, or an invalid trace, is replaced by a new id', () => {
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

test('new ids are unique', () => {
  assert.equal(new Set(Array.from({ length: 1_000 }, () => requestId([]))).size, 1_000)
})
