import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FailureWindow } from './failure-window.ts'

test('a window counts what happened within its length, and forgets it piece by piece', () => {
  const window = new FailureWindow(1_000)
  window.count(true, 0)
  window.count(false, 450)
  window.count(true, 950)
  assert.deepEqual(window.read(999), { calls: 3, share: 2 / 3 })
  assert.deepEqual(window.read(1_000), { calls: 2, share: 1 / 2 })
  assert.deepEqual(window.read(1_500), { calls: 1, share: 1 })
  assert.deepEqual(window.read(90_000), { calls: 0, share: 0 })
  window.count(true, 90_000)
  window.clear()
  assert.equal(window.read(90_000).calls, 0)
})
