import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ClientDisconnectedError } from '../resilience/abort-reason.ts'
import { ms } from '../resilience/duration.ts'
import { BatchLoad } from './batch-load.ts'

describe('keys that are loaded together', () => {
  function batchOf(undecided: number): { batch: BatchLoad<string, string>; asked: (readonly string[])[] } {
    const asked: (readonly string[])[] = []
    const load = async (keys: readonly string[]) => {
      asked.push(keys)
      return keys.map((key) => `the value of ${key}`)
    }
    return { batch: new BatchLoad(undecided, { name: 'batch', limit: ms(60_000), wheel: undefined, load }), asked }
  }

  test('one that nobody waits for any more before all are known is not loaded, and takes none of the others with it', async () => {
    const { batch, asked } = batchOf(3)
    const leaving = new AbortController()
    const left = batch.want('a', leaving.signal)
    leaving.abort(new ClientDisconnectedError())
    await assert.rejects(left, ClientDisconnectedError)
    await assert.rejects(batch.want('b', leaving.signal), ClientDisconnectedError)
    assert.equal(await batch.want('c', new AbortController().signal), 'the value of c')
    assert.deepEqual(asked, [['c']])
  })

  test('nothing is asked when nobody waits, or none is wanted', async () => {
    const { batch, asked } = batchOf(2)
    await assert.rejects(batch.want('a', AbortSignal.abort(new ClientDisconnectedError())), ClientDisconnectedError)
    batch.decline()
    assert.equal(batch.isOpen, false)
    assert.deepEqual(asked, [])
  })
})
