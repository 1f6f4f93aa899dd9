import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ulid } from './ulid.ts'
import { ulidTime } from './ulid-time.ts'

test('the time of a ULID is the wall time at which it was made', () => {
  const before = Date.now()
  const time = ulidTime(ulid())
  assert.ok(time >= before - 1_000 && time <= Date.now() + 1_000)
  // The example of the specification (github.com/ulid/spec).
  assert.equal(ulidTime('01ARYZ6S41TSV4RRFFQ69G5FAV'), 1_469_918_176_385)
})

test('what is no ULID has no time', () => {
  for (const id of ['', '0123', 'not-a-ulid-at-all-really--']) assert.equal(ulidTime(id), 0)
})
