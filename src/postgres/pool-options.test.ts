import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { logEvent } from '../diagnostics/event-log.ts'
import type { PoolEvent } from './pool-health.ts'
import { readOptions } from './pool-options.ts'

test('an onEvent that throws becomes a process warning', async () => {
  const onEvent = (): never => {
    throw new Error('no log')
  }
  const settings = readOptions('main', { onEvent }, {}, () => {})
  const warned = once(process, 'warning')
  settings.onEvent({ message: 'pool main is full' } as PoolEvent)
  const [{ code }] = (await warned) as [{ code?: string }]
  assert.equal(code, 'PUNCTUAL_LISTENER_FAILED')
})

test('the default onEvent logs to the console at the severity of the event', (t) => {
  const warn = t.mock.method(console, 'warn', () => {})
  readOptions('main', {}, {}, logEvent).onEvent({ severity: 'warn', message: 'it is full' } as PoolEvent)
  assert.deepEqual(
    warn.mock.calls.map(({ arguments: given }) => given),
    [['it is full']],
  )
})
