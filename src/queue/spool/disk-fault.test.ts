import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlowWrites } from './disk-fault.ts'

test('a single write of 50 ms is nothing, three in a row are a slow disk', () => {
  const writes = new SlowWrites()
  assert.deepEqual(
    [60, 60, 1, 60, 60, 60].map((took) => writes.isDiskSlow(took)),
    [false, false, false, false, false, true],
  )
  assert.equal(writes.isDiskSlow(60), false, 'it begins to count anew')
})

test('one write of half a second is a slow disk', () => {
  assert.equal(new SlowWrites().isDiskSlow(500), true)
})
