import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ClientDisconnectedError } from '../resilience/abort-reason.ts'
import { ms } from '../resilience/duration.ts'
import { BatchLoad } from './flight.ts'

describe('a batch load', () => {
  function batchOf(undecided: number): { batch: BatchLoad<string, string>; loaded: (readonly string[])[] } {
    const loaded: (readonly string[])[] = []
    const load = async (keys: readonly string[]) => {
      loaded.push(keys)
      return keys.map((key) => `the value of ${key}`)
    }
    return { batch: new BatchLoad(undecided, { name: 'batch', timeout: ms(60_000), wheel: undefined, load }), loaded }
  }

  test('leaves out a key whose caller leaves before the batch starts', async () => {
    const { batch, loaded } = batchOf(3)
    const disconnecting = new AbortController()
    const left = batch.want('a', disconnecting.signal)
    disconnecting.abort(new ClientDisconnectedError())
    await assert.rejects(left, ClientDisconnectedError)
    await assert.rejects(batch.want('b', disconnecting.signal), ClientDisconnectedError)
    assert.equal(await batch.want('c', new AbortController().signal), 'the value of c')
    assert.deepEqual(loaded, [['c']])
  })

  test('does not start without keys', async () => {
    const { batch, loaded } = batchOf(2)
    await assert.rejects(batch.want('a', AbortSignal.abort(new ClientDisconnectedError())), ClientDisconnectedError)
    batch.decline()
    assert.equal(batch.isOpen, false)
    assert.deepEqual(loaded, [])
  })
})
