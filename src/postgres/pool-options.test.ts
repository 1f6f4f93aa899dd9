import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { type PoolEvent, tellConsole } from './pool-events.ts'
import { readOptions } from './pool-options.ts'

test('an onEvent that throws fails neither the query nor the timer that it is told from', async () => {
  const onEvent = (): never => {
    throw new Error('no log')
  }
  const settings = readOptions('main', { onEvent }, {}, () => {})
  const warned = once(process, 'warning')
  settings.onEvent({ message: 'pool main is full' } as PoolEvent)
  const [{ code }] = (await warned) as [{ code?: string }]
  assert.equal(code, 'PUNCTUAL_LISTENER_FAILED')
})

test('without an onEvent the line goes to the console, at its severity', (t) => {
  const warn = t.mock.method(console, 'warn', () => {})
  readOptions('main', {}, {}, tellConsole).onEvent({ severity: 'warn', message: 'it is full' } as PoolEvent)
  assert.deepEqual(
    warn.mock.calls.map(({ arguments: given }) => given),
    [['it is full']],
  )
})
