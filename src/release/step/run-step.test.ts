import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { stepError } from './run-step.ts'

const result = { attempts: 1, durationMs: 1_200, tail: '' }

describe('stepError', () => {
  it('says how the step ended, after how long, and the end of its output', () => {
    const { message, details } = stepError('migrate', 'step', {
      ...result,
      outcome: 'failed',
      why: 'exit code 7',
      failure: { reason: 'failed', exitCode: 7, signal: null },
      tail: 'the reason\nit broke',
    })
    assert.equal(
      message,
      'release step migrate failed after 1.2 s: exit code 7\nend of its output:\n  the reason\n  it broke',
    )
    assert.deepEqual(details, { phase: 'step', reason: 'failed', step: 'migrate', exitCode: 7, signal: null })
  })

  it('puts the stack of a function below its first line', () => {
    const why = 'Error: no column\n    at run (punctual.config.ts:3:1)'
    const { message } = stepError('seed', 'step', { ...result, outcome: 'failed', why, failure: { reason: 'failed' } })
    assert.equal(
      message,
      'release step seed failed after 1.2 s: Error: no column\n      at run (punctual.config.ts:3:1)',
    )
  })

  it('names a rollback as such, and tells a timeout and an abort from a failure', () => {
    const timedOut = { ...result, outcome: 'timed-out', why: 'timed out after 1.0 s', failure: null } as const
    assert.equal(
      stepError('seed', 'rollback', timedOut).message,
      'the rollback of release step seed timed out after 1.0 s',
    )
    assert.equal(
      stepError('seed', 'step', { ...timedOut, outcome: 'aborted', why: 'SIGTERM' }).message,
      'release step seed was aborted after 1.2 s: SIGTERM',
    )
  })
})
