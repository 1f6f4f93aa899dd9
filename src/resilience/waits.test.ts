import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms } from './duration.ts'
import { type WaitOutcome, type WaitRecord, Waits } from './waits.ts'

function record(name: string): { -readonly [Key in keyof WaitRecord]: WaitRecord[Key] } {
  return { name, startedAt: 0, timeout: ms(5), outcome: null, endedAt: null }
}

test('a ledger holds waits in the order they began, and says what is still awaited', () => {
  const ledger = new Waits()
  const [one, two, three] = ['one', 'two', 'three'].map(record) as [WaitRecord, ReturnType<typeof record>, WaitRecord]
  for (const wait of [one, two, three]) ledger.begin(wait)
  two.outcome = 'degraded'
  ledger.end(two)
  assert.deepEqual(ledger.recorded, [one, two, three])
  assert.deepEqual(ledger.open(), [one, three])
  assert.equal(ledger.count('degraded'), 1)
  assert.equal(ledger.count('ok'), 0)
})

test('beyond its bound waits are only counted, but what is awaited is always named', () => {
  const ledger = new Waits(2)
  const waits = Array.from({ length: 5 }, (_, index) => record(`${index}`))
  for (const wait of waits) ledger.begin(wait)
  assert.equal(ledger.recorded.length, 2)
  assert.equal(ledger.unrecorded, 3)
  assert.deepEqual(ledger.open(), waits)
  const outcomes: WaitOutcome[] = ['ok', 'failed', 'ok', 'ok', 'aborted']
  for (const [index, wait] of waits.entries()) {
    wait.outcome = outcomes[index] ?? null
    ledger.end(wait)
  }
  assert.deepEqual(ledger.open(), [])
  assert.deepEqual([ledger.count('ok'), ledger.count('failed'), ledger.count('aborted')], [3, 1, 1])
  assert.equal(ledger.recorded.length, 2)
})
