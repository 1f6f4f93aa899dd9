import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wallClock } from '../resilience/clock.ts'
import { TimingHeaders } from './arrival.ts'

function read(...rawHeaders: string[]): TimingHeaders {
  const arrival = new TimingHeaders()
  arrival.read(['Host', 'x', ...rawHeaders, 'Accept', '*/*'])
  return arrival
}

test('the time in front of us counts, whatever form its proxy writes it in', () => {
  const since = wallClock().getTime() - 3_000
  const forms = [`t=${since / 1_000}`, `${since}`, `t=${since * 1_000}`, String(Math.floor(since / 1_000))]
  for (const form of forms) {
    const { queued } = read('X-Request-Start', form)
    assert.ok(queued >= 3_000 && queued < 10_000, `${form} gave ${queued}`)
  }
})

test('a clock ahead of ours, or what is no time, counts as nothing', () => {
  for (const form of [`${wallClock().getTime() + 60_000}`, '', 'soon', 't=', '-5', '12', 'NaN']) {
    assert.equal(read('x-request-start', form).queued, 0, form)
  }
})

test('a caller says how long he waits: in milliseconds, or as gRPC does', () => {
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

test('of several the shortest holds, and what cannot be read is as if it were not there', () => {
  assert.equal(read('Request-Timeout', '900', 'grpc-timeout', '1S').allowed, 900)
  for (const value of ['', '-1', '5s', '1e3', '99999999999', 'NaN', 'unbounded']) {
    assert.equal(read('request-timeout', value).allowed, Number.POSITIVE_INFINITY, value)
  }
  assert.equal(read('grpc-timeout', '123456789S').allowed, Number.POSITIVE_INFINITY)
  assert.equal(read('grpc-timeout', '5x').allowed, Number.POSITIVE_INFINITY)
})

test('headers of the same lengths and beginnings are nothing of ours', () => {
  const others = [
    'x-forwarded-for',
    'x-rate-limit',
    'range-and-more',
    'accept-encoding',
    'sec-ch-ua-platform',
    'got-timeout',
    'referer-polic',
  ]
  const arrival = read(...others.flatMap((name) => [name, '5']))
  assert.deepEqual([arrival.queued, arrival.allowed], [0, Number.POSITIVE_INFINITY])
  assert.equal(read('X-REQUEST-DEADLINE', '5').allowed, 5)
  assert.equal(read('Grpc-Timeout', '5m').allowed, 5)
  assert.equal(read('Request-Timeout', '7').allowed, 7)
})

test('nothing of the request before stays', () => {
  const arrival = read('request-timeout', '5')
  arrival.read([])
  assert.equal(arrival.allowed, Number.POSITIVE_INFINITY)
  assert.equal(arrival.queued, 0)
})
