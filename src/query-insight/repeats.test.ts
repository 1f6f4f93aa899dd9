import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QueryUse } from './query-use.ts'
import { formatRepeat, type Repeat } from './repeats.ts'

const repeat = (kind: Repeat['kind'], role: string, via: string | null): Repeat => {
  const fingerprint = { text: 'select a from t where id = $1', role }
  return { use: { fingerprint, busyMs: 412 } as unknown as QueryUse, kind, count: 100, place: 'src/list.ts:31', via }
}

test('a repeat is formatted with its statement, count, duration, place and advice', () => {
  const told = '"select a from t where id = $1" 100 times (412 ms) at src/list.ts:31'
  assert.equal(formatRepeat(repeat('rows', 'read', null)), `${told}; load them together`)
  assert.equal(
    formatRepeat(repeat('rows', 'write', 'ask (src/ask.ts:7)')),
    `${told}, through ask (src/ask.ts:7); write them together`,
  )
  assert.equal(
    formatRepeat(repeat('same', 'read', null)),
    `${told}; the values are the same each time: query once and keep the result`,
  )
})
