import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QueryUse } from './query-use.ts'
import type { Repeat } from './repeat.ts'
import { tellRepeat } from './request-tally.ts'

const repeat = (kind: Repeat['kind'], role: string, via: string | null): Repeat => {
  const fingerprint = { text: 'select a from t where id = $1', role }
  return { use: { fingerprint, busyMs: 412 } as unknown as QueryUse, kind, count: 100, place: 'src/list.ts:31', via }
}

test('a repeat is told with its statement, how often and how long, its place, and what to do', () => {
  const told = '"select a from t where id = $1" 100 times (412 ms) at src/list.ts:31'
  assert.equal(tellRepeat(repeat('rows', 'read', null)), `${told}; load them together`)
  assert.equal(
    tellRepeat(repeat('rows', 'write', 'ask (src/ask.ts:7)')),
    `${told}, through ask (src/ask.ts:7); write them together`,
  )
  assert.equal(
    tellRepeat(repeat('same', 'read', null)),
    `${told}; with the same values each time: ask once and keep the answer`,
  )
})
