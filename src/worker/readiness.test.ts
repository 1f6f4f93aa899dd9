import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { publishWorkerBoot, workerBoot } from '../ipc/worker-channel.ts'
import { Readiness } from './readiness.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
afterEach(() => publishWorkerBoot(null))

describe('Readiness', () => {
  it('calls its listeners in a later turn, also late ones', async () => {
    const told: string[] = []
    const phase = new Readiness(false, () => {})
    workerBoot()?.onServing((ready) => told.push(`early ${ready}`))
    phase.startServing()
    assert.equal(told.length, 0)
    workerBoot()?.onServing((ready) => told.push(`late ${ready}`))
    await turn()
    assert.deepEqual(told, ['early true', 'late true'])
  })

  it('does not wait for holds by default', () => {
    const phase = new Readiness(false, () => {})
    workerBoot()?.hold()
    assert.equal(phase.isHeld, false)
  })

  it('waits for all holds with readyWhen: all', async () => {
    let released = 0
    const told: boolean[] = []
    const phase = new Readiness(true, () => released++)
    const holds = [phase.hold(), phase.hold()]
    phase.onServing((ready) => told.push(ready))
    phase.startServing()
    await turn()
    assert.deepEqual(told, [false])
    holds[0]?.()
    holds[0]?.()
    assert.equal(phase.isHeld, true)
    holds[1]?.()
    assert.equal(phase.isHeld, false)
    assert.equal(released, 1)
  })
})
