import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { publishWorkerBoot, workerBoot } from '../ipc/worker-channel.ts'
import { Readiness } from './readiness.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
afterEach(() => publishWorkerBoot(null))

describe('Readiness', () => {
  it('calls its listeners in a later turn, also late ones', async () => {
    const calls: string[] = []
    const readiness = new Readiness(false, () => {})
    workerBoot()?.onServing((ready) => calls.push(`early ${ready}`))
    readiness.startServing()
    assert.equal(calls.length, 0)
    workerBoot()?.onServing((ready) => calls.push(`late ${ready}`))
    await turn()
    assert.deepEqual(calls, ['early true', 'late true'])
  })

  it('does not wait for holds by default', () => {
    const readiness = new Readiness(false, () => {})
    workerBoot()?.hold()
    assert.equal(readiness.isHeld, false)
  })

  it('waits for all holds with readyWhen: all', async () => {
    let released = 0
    const calls: boolean[] = []
    const readiness = new Readiness(true, () => released++)
    const holds = [readiness.hold(), readiness.hold()]
    readiness.onServing((ready) => calls.push(ready))
    readiness.startServing()
    await turn()
    assert.deepEqual(calls, [false])
    holds[0]?.()
    holds[0]?.()
    assert.equal(readiness.isHeld, true)
    holds[1]?.()
    assert.equal(readiness.isHeld, false)
    assert.equal(released, 1)
  })
})
