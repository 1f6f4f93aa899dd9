import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { within } from '../../test/process/support/until.ts'
import { STALL_THRESHOLD, StallGuard } from './stall-guard.ts'

function block(length: number): void {
  const end = performance.now() + length
  while (performance.now() < end);
}

describe('a worker whose event loop stalls', () => {
  test('detects it, even when it is asked in between', async () => {
    const guard = new StallGuard()
    assert.equal(guard.catchUp(), null)
    block(STALL_THRESHOLD * 0.75)
    guard.catchUp()
    block(STALL_THRESHOLD * 0.75)
    const catchUp = guard.catchUp()
    assert.ok(catchUp, 'nothing was read for 1.5 times the threshold')
    await within('the catch-up to end', catchUp)
    guard.close()
  })

  test('detects it, even when its timers run in between, before anything is read', async () => {
    const guard = new StallGuard()
    const isDetected = await new Promise((resolve) => {
      // Due after the timer that checks the clock.
      setTimeout(() => {
        block(STALL_THRESHOLD * 0.75)
        resolve(guard.catchUp() !== null)
      }, 25)
      block(STALL_THRESHOLD * 0.75)
    })
    assert.ok(isDetected, 'nothing was read for 1.5 times the threshold')
    guard.close()
  })

  test('resolves the catch-up when it is closed', async () => {
    const guard = new StallGuard()
    block(STALL_THRESHOLD)
    const catchUp = guard.catchUp()
    assert.ok(catchUp)
    guard.close()
    await within('the catch-up to end', catchUp)
    await turn()
    assert.equal(guard.catchUp(), null)
  })
})
