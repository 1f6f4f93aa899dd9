import type { ReleaseFailure, ReleaseRecord } from '../diagnostics/release-report.ts'
import type { ReleaseEnd } from './messages.ts'
import type { ReleaseTools } from './release-tools.ts'
import { RunRecord } from './run-record.ts'
import { findToUndo, isStanding } from './standing-steps.ts'
import { UndoRun } from './undo-run.ts'

type End = Omit<ReleaseEnd, 'history'>

/**
 * Undoes the newest release: by the roll-backs of its steps, or its back-up.
 *
 * @param records as they stand, the newest first
 */
export async function rollBack(tools: ReleaseTools, records: readonly ReleaseRecord[]): Promise<End> {
  const { request, plan } = tools
  const restore = request.mode === 'restore'
  const newest = findToUndo(records, restore)
  if (newest === undefined) {
    const message = restore ? 'there is no release with a back-up to restore' : 'there is no release to roll back'
    const failure = { phase: restore ? 'restore' : 'rollback', reason: 'nothing-to-undo' } as const
    return { outcome: 'failed', message, failure, version: null, record: null }
  }
  const { version } = newest
  const refuse = (message: string, failure: ReleaseFailure): End => {
    return { outcome: 'failed', message, failure, version, record: newest }
  }
  if (restore && newest.backup === null) {
    return refuse(
      `the newest release, ${version} of ${newest.startedAt}, has no back-up, and an older one would undo more than that release; undo it with --rollback first`,
      { phase: 'restore', reason: 'no-backup' },
    )
  }
  const without = newest.steps
    .filter(isStanding)
    .map(({ name }) => name)
    .filter((name) => (plan.steps.find((step) => step.name === name)?.rollback ?? null) === null)
  const byBackup = restore || (without.length > 0 && plan.backup !== null && plan.backup.restoreOnFailure !== 'never')
  if (!byBackup && without.length > 0) {
    return refuse(
      `release ${version} cannot be rolled back: ${without.join(', ')} ${without.length === 1 ? 'has' : 'have'} no roll-back in the config file; write one, or restore the back-up with --restore`,
      { phase: 'rollback', reason: 'no-rollback', steps: without },
    )
  }
  const its = { ...tools, version: { name: version, certain: true } }
  const run = new RunRecord(its, newest)
  const undo = new UndoRun(its, run)
  const undone = byBackup ? await undo.restore() : await undo.rollBackSteps({ outcome: 'rolled-back' })
  const { failure } = undone.undo
  if (failure !== undefined) {
    await run.saveIfPossible()
    return { outcome: 'failed', message: undone.message, failure, version, record: run.now }
  }
  await run.save({ outcome: 'rolled-back' })
  const record = run.now
  const how = byBackup ? `its back-up ${record.backup?.path} was restored` : 'its steps were rolled back'
  const message = `release ${version} of ${newest.startedAt} is undone: ${how}`
  return { outcome: 'done', message, failure: null, version, record }
}
