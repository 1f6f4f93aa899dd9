import assert from 'node:assert/strict'
import { once } from 'node:events'
import { afterEach, test } from 'node:test'
import { jsonLog, logEvent, logEventsAsJson, safeListener } from './event-log.ts'

afterEach(() => jsonLog.delete())

const EVENT = {
  type: 'dropped',
  severity: 'warn',
  message: 'it is full',
  queue: 'mails',
  details: { count: 3 },
} as const

test('an event is printed as text where the log is not JSON, with its error', (t) => {
  const warn = t.mock.method(console, 'warn', () => {})
  const error = Object.assign(new Error('no licence, token=abc'), { request: 'abc' })
  logEvent(EVENT)
  logEvent({ ...EVENT, error })
  const texts = warn.mock.calls.map(({ arguments: given }) => given.join(' '))
  assert.equal(texts[0], 'it is full')
  assert.match(texts[1] ?? '', /^it is full: Error: no licence, token=\[redacted\]\n {4}at /)
  assert.doesNotMatch(texts.join(''), /abc/)
})

test('an event is a line of the JSON log of a worker, unless the level of the log is higher', (t) => {
  const log = t.mock.method(console, 'log', () => {})
  const settings: { logLevel: 'info' | 'error' } = { logLevel: 'info' }
  logEventsAsJson(settings, 2)
  logEvent({ ...EVENT, error: new TypeError('no licence') })
  settings.logLevel = 'error'
  logEvent(EVENT)
  const lines = log.mock.calls.map(({ arguments: [line] }) => JSON.parse(String(line)))
  assert.equal(lines.length, 1)
  const expected = { level: 'warn', pid: process.pid, worker: 2, event: 'dropped', queue: 'mails', count: 3 }
  assert.partialDeepStrictEqual(lines[0], expected)
  assert.equal(lines[0].msg, 'it is full')
  assert.partialDeepStrictEqual(lines[0].error, { type: 'TypeError', message: 'no licence' })
  assert.ok(!Number.isNaN(Date.parse(lines[0].time)))
})

const FULL = { message: 'the disk is full' }

for (const [how, listener] of [
  [
    'throws',
    () => {
      throw new Error('no log')
    },
  ],
  ['rejects', () => Promise.reject(new Error('no log'))],
] as const) {
  test(`a listener that ${how} becomes a warning with the event`, async () => {
    const warned = once(process, 'warning')
    safeListener('queue "mails"', listener)(FULL)
    const [{ message, code }] = (await warned) as [Error & { code?: string }]
    assert.equal(code, 'PUNCTUAL_LISTENER_FAILED')
    assert.equal(message, 'onEvent of queue "mails" failed: Error: no log; the event: the disk is full')
  })
}

test('a listener that throws a value without a string form becomes a warning, too', async () => {
  const warned = once(process, 'warning')
  safeListener('queue "mails"', () => {
    throw Object.create(null)
  })(FULL)
  const [{ code }] = (await warned) as [{ code?: string }]
  assert.equal(code, 'PUNCTUAL_LISTENER_FAILED')
})

test('a listener gets each event', () => {
  const received: unknown[] = []
  safeListener('x', (one) => void received.push(one))(FULL)
  assert.deepEqual(received, [FULL])
})
