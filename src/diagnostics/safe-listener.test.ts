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
  test(`a listener that ${how} fails nobody, and becomes a warning that has the event`, async () => {
    const warned = once(process, 'warning')
    safeListener('defer "mails"', listener)(event)
    const [{ message, code }] = (await warned) as [Error & { code?: string }]
    assert.equal(code, 'PUNCTUAL_LISTENER_FAILED')
    assert.equal(message, 'onEvent of defer "mails" failed: Error: no log; it was told: the disk is full')
  })
}

test('a listener that works is told each event', () => {
  const told: unknown[] = []
  safeListener('x', (one) => void told.push(one))(event)
  assert.deepEqual(told, [event])
})
