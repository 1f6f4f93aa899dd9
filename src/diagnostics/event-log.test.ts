import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { logEventsAsJson } from './event-log.ts'
import { jsonLog, logEvent } from './safe-listener.ts'

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
  const error = new Error('no licence')
  logEvent(EVENT)
  logEvent({ ...EVENT, error })
  assert.deepEqual(
    warn.mock.calls.map(({ arguments: given }) => given),
    [['it is full'], ['it is full:', error]],
  )
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
