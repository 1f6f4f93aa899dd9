import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { stepError } from './run-step.ts'

const result = { attempts: 1, durationMs: 1_200, tail: '' }

describe('the error of a step', () => {
  it('says how it ended, after how long, and the end of its output', () => {
    const { message, details } = stepError('migrate', 'step', {
      ...result,
      outcome: 'failed',
      why: 'exit code 7',
      failure: { reason: 'failed', exitCode: 7, signal: null },
      tail: 'the reason\nit broke',
    })
    assert.equal(
      message,
      'release step migrate failed after 1.2 s: exit code 7\nthe end of its output:\n  the reason\n  it broke',
    )
    assert.deepEqual(details, { phase: 'step', reason: 'failed', step: 'migrate', exitCode: 7, signal: null })
  })

  it('has the stack of a function below its first line', () => {
    const why = 'Error: no column\n    at run (punctual.config.ts:3:1)'
    const { message } = stepError('seed', 'step', { ...result, outcome: 'failed', why, failure: { reason: 'failed' } })
    assert.equal(
      message,
      'release step seed failed after 1.2 s: Error: no column\n      at run (punctual.config.ts:3:1)',
    )
  })

  it('tells a roll-back from a step, and one that was ended from one that failed', () => {
    const expired = { ...result, outcome: 'timed-out', why: 'it was ended at its limit', failure: null } as const
    assert.equal(
      stepError('seed', 'rollback', expired).message,
      'the roll-back of release step seed did not end after 1.2 s: it was ended at its limit',
    )
    assert.equal(
      stepError('seed', 'step', { ...expired, outcome: 'aborted', why: 'SIGTERM' }).message,
      'release step seed was aborted after 1.2 s: SIGTERM',
    )
  })
})
