import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ReleaseRecord, ReleaseStepRecord } from '../diagnostics/release-report.ts'
import { findCompletedRun, findRunToUndo, withCurrentSteps } from './applied-steps.ts'
import type { ReleaseMark } from './record/release-records.ts'

type Step = readonly [name: string, outcome: ReleaseStepRecord['outcome'], rollback?: ReleaseStepRecord['rollback']]

function run(version: string, outcome: ReleaseRecord['outcome'], steps: readonly Step[], more = {}): ReleaseRecord {
  return {
    id: `${version} ${outcome}`,
    app: 'app',
    version,
    host: 'host',
    pid: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    endedAt: '2026-01-01T00:00:01.000Z',
    outcome,
    steps: steps.map(([name, how, rollback = null]) => ({
      name,
      outcome: how,
      durationMs: 1,
      attempts: 1,
      rollback,
      tail: null,
    })),
    backup: null,
    restored: false,
    why: null,
    failure: null,
    ...more,
  }
}

const backup = { path: '/backup', bytes: 1, sha256: '', durationMs: 1 }
const v1 = run('v1', 'done', [['migrate', 'done']])

describe('findRunToUndo', () => {
  const found = (
    records: readonly ReleaseRecord[],
    byBackup = false,
    marks: readonly ReleaseMark[] = [],
  ): string | undefined => findRunToUndo(withCurrentSteps(records, marks), byBackup)?.id

  it('finds the newest run with a step in effect, including an aborted one', () => {
    assert.equal(found([run('v2', 'done', [['migrate', 'done']]), v1]), 'v2 done')
    assert.equal(found([run('v2', 'aborted', [['migrate', 'done']]), v1]), 'v2 aborted')
    assert.equal(found([run('v2', 'failed', [['migrate', 'failed']]), v1]), 'v1 done')
  })

  it('skips an older run of the same version whose steps a newer one undid', () => {
    const aborted = run('v2', 'aborted', [['migrate', 'done']])
    assert.equal(found([run('v2', 'rolled-back', [['migrate', 'done', 'done']]), aborted, v1]), 'v1 done')
    assert.equal(
      found([
        run('v2', 'failed', [
          ['migrate', 'already-done', 'done'],
          ['seed', 'failed'],
        ]),
        aborted,
        v1,
      ]),
      'v1 done',
    )
  })

  it('finds only the steps of an older run that the newer one did not undo', () => {
    const aborted = run('v2', 'aborted', [
      ['migrate', 'done'],
      ['seed', 'done'],
    ])
    const failed = run('v2', 'failed', [
      ['migrate', 'done', 'done'],
      ['seed', 'failed'],
    ])
    const older = findRunToUndo(withCurrentSteps([failed, aborted, v1], []), false)
    assert.equal(older?.id, 'v2 aborted')
    assert.deepEqual(
      older?.steps.map(({ rollback }) => rollback),
      ['done', null],
    )
  })

  it('finds the run before one whose backup was restored', () => {
    const restored = run('v2', 'rolled-back', [['migrate', 'done', 'done']], { restored: true, backup })
    assert.equal(found([restored, run('v2', 'aborted', [['migrate', 'done']]), v1]), 'v2 aborted')
  })

  it('finds a step that was committed without the run learning of it', () => {
    const killed = run('v2', 'interrupted', [])
    const lost = run('v2', 'aborted', [['seed', 'aborted']])
    const mark = { step: 'seed', run: lost.id }
    assert.equal(found([killed, lost, v1]), 'v1 done')
    assert.equal(found([killed, lost, v1], false, [mark]), lost.id)
    assert.equal(found([killed, lost, v1], false, [mark, { step: 'seed', run: killed.id }]), killed.id)
  })

  it('accepts a run with a backup and no step in effect when restoring', () => {
    const failed = run('v2', 'failed', [['migrate', 'failed']], { backup })
    assert.equal(found([failed, v1], true), 'v2 failed')
    assert.equal(found([run('v2', 'failed', [['migrate', 'failed']]), v1], true), 'v1 done')
  })
})

describe('findCompletedRun', () => {
  const found = (record: ReleaseRecord, certain = true): boolean =>
    findCompletedRun(withCurrentSteps([record], []), { name: 'v1', certain }, '2026-01-01T00:00:02.000Z') !== undefined

  it('finds a run of the version that succeeded', () => {
    assert.equal(found(v1), true)
    assert.equal(found(run('v2', 'done', [['migrate', 'done']])), false)
    assert.equal(found(run('v1', 'failed', [['migrate', 'failed']])), false)
  })

  it('skips a run of which a step was undone or failed to roll back', () => {
    for (const rollback of ['done', 'failed'] as const) {
      assert.equal(
        found(
          run('v1', 'done', [
            ['migrate', 'done'],
            ['seed', 'done', rollback],
          ]),
        ),
        false,
      )
    }
    assert.equal(found(run('v1', 'done', [['migrate', 'done']], { restored: true, backup })), false)
  })

  it('skips a run that ended before the request if the version does not identify the code', () => {
    assert.equal(found(v1, false), false)
  })
})
