import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { safeListener } from './safe-listener.ts'

const event = { message: 'the disk is full' }

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
    safeListener('queue "mails"', listener)(event)
    const [{ message, code }] = (await warned) as [Error & { code?: string }]
    assert.equal(code, 'PUNCTUAL_LISTENER_FAILED')
    assert.equal(message, 'onEvent of queue "mails" failed: Error: no log; the event: the disk is full')
  })
}

test('a listener that throws a value without a string form becomes a warning, too', async () => {
  const warned = once(process, 'warning')
  safeListener('queue "mails"', () => {
    throw Object.create(null)
  })(event)
  const [{ code }] = (await warned) as [{ code?: string }]
  assert.equal(code, 'PUNCTUAL_LISTENER_FAILED')
})

test('a listener gets each event', () => {
  const received: unknown[] = []
  safeListener('x', (one) => void received.push(one))(event)
  assert.deepEqual(received, [event])
})
