import type { ReleaseRecord, ReleaseStepRecord } from '../diagnostics/release-report.ts'
import type { ReleaseMark } from './record/release-records.ts'
import type { ReleaseVersion } from './release-identity.ts'

/** Returns whether a step was applied and not undone. */
export function isInEffect(step: ReleaseStepRecord): boolean {
  return isApplied(step) && step.rollback !== 'done'
}

function isApplied({ outcome }: ReleaseStepRecord): boolean {
  return outcome === 'done' || outcome === 'already-done'
}

/** Adds to a record the steps that were committed without the run learning of it. */
export function withMarks(record: ReleaseRecord, marks: readonly ReleaseMark[]): ReleaseRecord {
  const names = new Set(marks.filter(({ run }) => run === record.id).map(({ step }) => step))
  const known = record.steps.map((step): ReleaseStepRecord => {
    return names.delete(step.name) && !isApplied(step) ? { ...step, outcome: 'done' } : step
  })
  const unknown = [...names].map(
    (name): ReleaseStepRecord => ({ name, outcome: 'done', durationMs: 0, attempts: 1, rollback: null, tail: null }),
  )
  return { ...record, steps: [...known, ...unknown] }
}

/**
 * Returns the records with the current state of their steps. A step of an interrupted run is
 * adopted
 * by later runs of the same version: undone there, it is undone here too. A restored backup undoes
 * only its own run.
 *
 * @param records newest first
 */
export function withCurrentSteps(
  records: readonly ReleaseRecord[],
  marks: readonly ReleaseMark[],
): readonly ReleaseRecord[] {
  const undone = new Map<string, Set<string>>()
  return records.map((saved) => {
    const record = withMarks(saved, marks)
    const later = undone.get(record.version) ?? new Set()
    undone.set(record.version, later)
    const steps = record.steps.map((step) =>
      later.has(step.name) && isInEffect(step) ? { ...step, rollback: 'done' as const } : step,
    )
    if (!record.restored) for (const { name, rollback } of record.steps) if (rollback === 'done') later.add(name)
    return { ...record, steps }
  })
}

/**
 * Finds the run that makes another one unnecessary: it succeeded, and no step of it was undone. If
 * the version does not identify the code, only a run that ended while we waited counts.
 *
 * @param records with current steps, newest first
 * @param requestedAt ISO 8601: when we started to wait
 */
export function findCompletedRun(
  records: readonly ReleaseRecord[],
  version: ReleaseVersion,
  requestedAt: string,
): ReleaseRecord | undefined {
  return records.find(
    (record) =>
      record.version === version.name &&
      record.outcome === 'done' &&
      !record.restored &&
      record.steps.every(({ rollback }) => rollback === null) &&
      (version.certain || (record.endedAt !== null && Date.parse(record.endedAt) >= Date.parse(requestedAt))),
  )
}

/**
 * Finds the newest run that has something to undo.
 *
 * @param records with current steps, newest first
 * @param byBackup also accept a run with a backup but no step in effect: a failed step may have
 *   left
 *   changes
 */
export function findRunToUndo(records: readonly ReleaseRecord[], byBackup: boolean): ReleaseRecord | undefined {
  return records.find(
    ({ outcome, restored, steps, backup }) =>
      outcome !== 'rolled-back' && !restored && (steps.some(isInEffect) || (byBackup && backup !== null)),
  )
}
