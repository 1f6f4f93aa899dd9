import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { allowBlocking, publishRuntime } from './allow-blocking.ts'

describe('allowBlocking', () => {
  it('only runs the job outside a worker', () => {
    assert.equal(
      allowBlocking('report', '2s', () => 42),
      42,
    )
    assert.throws(() => allowBlocking('report', '2s', () => assert.fail('mine')), /mine/)
  })

  it('rejects a timeout that is not finite and positive, and does not run the job', () => {
    for (const timeout of ['unbounded', '2', '', 'soon', 0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(
        () => allowBlocking('report', timeout, () => assert.fail('it ran')),
        { code: 'PUNCTUAL_INVALID_OPTION', details: { option: 'timeout', given: timeout } },
        String(timeout),
      )
    }
  })

  it('announces the start and the end of the job in a worker, even if the job throws', () => {
    const said: unknown[] = []
    publishRuntime({
      sequenceOf: () => 0,
      beginBlocking: (name, limit) => {
        said.push(`begin ${name} ${limit}`)
        return () => said.push(`end ${name}`)
      },
    })
    allowBlocking('outer', '1m', () => allowBlocking('inner', 250, () => said.push('job')))
    assert.deepEqual(said.splice(0), ['begin outer 60000', 'begin inner 250', 'job', 'end inner', 'end outer'])
    assert.throws(() => allowBlocking('failing', '1s', () => assert.fail('mine')), /mine/)
    assert.deepEqual(said, ['begin failing 1000', 'end failing'])
  })
})
