import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { within } from '../../../test/process/support/until.ts'
import { STOOD_STILL, Steadiness } from './steadiness.ts'

function standStill(length: number): void {
  const end = performance.now() + length
  while (performance.now() < end);
}

describe('a worker that stands still', () => {
  test('knows it, also when it is asked in between', async () => {
    const steadiness = new Steadiness()
    assert.equal(steadiness.settled(), null)
    standStill(STOOD_STILL * 0.75)
    steadiness.settled()
    standStill(STOOD_STILL * 0.75)
    const settled = steadiness.settled()
    assert.ok(settled, 'nothing was read for one and a half times as long as it may be')
    await within('it to have read', settled)
    steadiness.close()
  })

  test('knows it, also when its timers run in between: all that are due do before anything is read', async () => {
    const steadiness = new Steadiness()
    const known = await new Promise((resolve) => {
      // Due after the one by which it looks at the clock.
      setTimeout(() => {
        standStill(STOOD_STILL * 0.75)
        resolve(steadiness.settled() !== null)
      }, 25)
      standStill(STOOD_STILL * 0.75)
    })
    assert.ok(known, 'nothing was read for one and a half times as long as it may be')
    steadiness.close()
  })

  test('keeps nobody waiting when it is closed', async () => {
    const steadiness = new Steadiness()
    standStill(STOOD_STILL)
    const settled = steadiness.settled()
    assert.ok(settled)
    steadiness.close()
    await within('it to be settled', settled)
    await turn()
    assert.equal(steadiness.settled(), null)
  })
})
