import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SlowWrites } from './disk-fault.ts'

test('three slow writes in a row mean a slow disk, a single one does not', () => {
  const writes = new SlowWrites()
  assert.deepEqual(
    [60, 60, 1, 60, 60, 60].map((took) => writes.isDiskSlow(took)),
    [false, false, false, false, false, true],
  )
  assert.equal(writes.isDiskSlow(60), false, 'it counts from 0 again')
})

test('one write of half a second means a slow disk', () => {
  assert.equal(new SlowWrites().isDiskSlow(500), true)
})
