import type { ReleaseRecord, ReleaseStepRecord } from '../diagnostics/release-report.ts'
import type { ReleaseMark } from './record/release-records.ts'
import type { ReleaseVersion } from './release-identity.ts'

/** Whether a step has been applied and not undone. */
export function isInEffect(step: ReleaseStepRecord): boolean {
  return isApplied(step) && step.rollback !== 'done'
}

function isApplied({ outcome }: ReleaseStepRecord): boolean {
  return outcome === 'done' || outcome === 'already-done'
}

/** The record with what it has applied besides: a COMMIT can have been carried out, and nobody have heard of it. */
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
 * The records with their steps as they stand now. Where a run ended before its end, what it had applied is applied and undone by later runs of its
 * version: undone there, it is undone here too. A run whose back-up was restored has undone nothing that was there before it.
 *
 * @param records the newest first
 */
export function withCurrentSteps(
  records: readonly ReleaseRecord[],
  marks: readonly ReleaseMark[],
): readonly ReleaseRecord[] {
  const undone = new Map<string, Set<string>>()
  return records.map((written) => {
    const record = withMarks(written, marks)
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
 * The run that makes another one needless: it succeeded, and nothing of it was undone, not even in half. Where the version does not tell what the code
 * is, only one that ended while we waited is known to be of the same.
 *
 * @param records as they stand, the newest first
 * @param askedAt ISO 8601: when we began to wait
 */
export function findCompletedRun(
  records: readonly ReleaseRecord[],
  version: ReleaseVersion,
  askedAt: string,
): ReleaseRecord | undefined {
  return records.find(
    (record) =>
      record.version === version.name &&
      record.outcome === 'done' &&
      !record.restored &&
      record.steps.every(({ rollback }) => rollback === null) &&
      (version.certain || (record.endedAt !== null && Date.parse(record.endedAt) >= Date.parse(askedAt))),
  )
}

/**
 * The newest run of which something is to be undone.
 *
 * @param records as they stand, the newest first
 * @param byBackup also one of which no step stands, if it has a back-up: a step that has failed may have left something
 */
export function findRunToUndo(records: readonly ReleaseRecord[], byBackup: boolean): ReleaseRecord | undefined {
  return records.find(
    ({ outcome, restored, steps, backup }) =>
      outcome !== 'rolled-back' && !restored && (steps.some(isInEffect) || (byBackup && backup !== null)),
  )
}
