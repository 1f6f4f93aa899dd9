import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms } from './duration.ts'
import { type WaitOutcome, type WaitRecord, Waits } from './waits.ts'

function record(name: string): { -readonly [Key in keyof WaitRecord]: WaitRecord[Key] } {
  return { name, startedAt: 0, timeout: ms(5), outcome: null, endedAt: null }
}

test('a list of waits has them in order of their start, and knows the pending ones', () => {
  const list = new Waits()
  const [one, two, three] = ['one', 'two', 'three'].map(record) as [WaitRecord, ReturnType<typeof record>, WaitRecord]
  for (const wait of [one, two, three]) list.begin(wait)
  two.outcome = 'degraded'
  list.end(two)
  assert.deepEqual(list.recorded, [one, two, three])
  assert.deepEqual(list.open(), [one, three])
  assert.equal(list.count('degraded'), 1)
  assert.equal(list.count('ok'), 0)
})

test('waits beyond the bound are counted, but pending waits always have a name', () => {
  const list = new Waits(2)
  const waits = Array.from({ length: 5 }, (_, index) => record(`${index}`))
  for (const wait of waits) list.begin(wait)
  assert.equal(list.recorded.length, 2)
  assert.equal(list.unrecorded, 3)
  assert.deepEqual(list.open(), waits)
  const outcomes: WaitOutcome[] = ['ok', 'failed', 'ok', 'ok', 'aborted']
  for (const [index, wait] of waits.entries()) {
    wait.outcome = outcomes[index] ?? null
    list.end(wait)
  }
  assert.deepEqual(list.open(), [])
  assert.deepEqual([list.count('ok'), list.count('failed'), list.count('aborted')], [3, 1, 1])
  assert.equal(list.recorded.length, 2)
})
