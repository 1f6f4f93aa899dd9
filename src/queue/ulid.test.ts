import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { platform } from '../resilience/clock.ts'
import { ulid, ulidTime } from './ulid.ts'

test('ulidTime returns the wall time at which a ULID was made', () => {
  const before = Date.now()
  const time = ulidTime(ulid())
  assert.ok(time >= before - 1_000 && time <= Date.now() + 1_000)
  // The example of the specification (github.com/ulid/spec).
  assert.equal(ulidTime('01ARYZ6S41TSV4RRFFQ69G5FAV'), 1_469_918_176_385)
})

test('ulidTime of other text is 0', () => {
  for (const id of ['', '0123', 'not-a-ulid-at-all-really--']) assert.equal(ulidTime(id), 0)
})

test('an id has 26 characters of base 32, and the first ten are the wall time', () => {
  const before = Date.now()
  const id = ulid()
  assert.match(id, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/)
  let time = 0
  for (const digit of id.slice(0, 10)) time = time * 32 + '0123456789ABCDEFGHJKMNPQRSTVWXYZ'.indexOf(digit)
  assert.ok(time >= before && time <= Date.now() + 1, `${time} is not now`)
})

test('ids ascend as text and never repeat, within a millisecond too', () => {
  let last = ulid()
  for (let count = 0; count < 200_000; count++) {
    const id = ulid()
    assert.ok(id > last, `${id} after ${last}`)
    last = id
  }
})

test('ids ascend when the clock is set back', (t) => {
  const before = ulid()
  setWallClock(t, 1_000)
  const after = ulid()
  assert.ok(after > before)
  assert.equal(after.slice(0, 10), before.slice(0, 10))
})

test('ids ascend when the counter overflows within a millisecond', (t) => {
  // More than the 2^20 that the counter can hold.
  setWallClock(t, Date.now() + 60_000)
  let last = ulid()
  for (let count = 0; count < 2 ** 20 + 10; count++) {
    const id = ulid()
    if (id <= last) assert.fail(`${id} after ${last}`)
    last = id
  }
})

function setWallClock(t: TestContext, now: number): void {
  const { Date: original } = platform
  const stopped = class extends Date {
    constructor() {
      super(now)
    }
  }
  Object.assign(platform, { Date: stopped })
  t.after(() => Object.assign(platform, { Date: original }))
}
