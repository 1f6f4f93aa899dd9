import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { publishWorkerBoot, workerBoot } from '../ipc/worker-channel.ts'
import { BootPhase } from './boot-phase.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
afterEach(() => publishWorkerBoot(null))

describe('the end of a boot', () => {
  it('is told to those who listen, in a later turn, also when they come late', async () => {
    const told: string[] = []
    const phase = new BootPhase(false, () => {})
    workerBoot()?.onServing((ready) => told.push(`early ${ready}`))
    phase.serve()
    assert.equal(told.length, 0)
    workerBoot()?.onServing((ready) => told.push(`late ${ready}`))
    await turn()
    assert.deepEqual(told, ['early true', 'late true'])
  })

  it('does not wait for what is held unless it is told to', () => {
    const phase = new BootPhase(false, () => {})
    workerBoot()?.hold()
    assert.equal(phase.isHeld, false)
  })

  it('waits for everything that is held, where it is told to', async () => {
    let released = 0
    const told: boolean[] = []
    const phase = new BootPhase(true, () => released++)
    const holds = [phase.hold(), phase.hold()]
    phase.onServing((ready) => told.push(ready))
    phase.serve()
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
