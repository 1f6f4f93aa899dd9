import type { ReleaseFailure, ReleaseRecord, ReleaseUndo } from '../diagnostics/release-report.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import { findRunToUndo, isInEffect } from './applied-steps.ts'
import type { BackupStore } from './backup/backup-store.ts'
import type { ReleaseEnd } from './messages.ts'
import { type ReleaseEnvironment, RunRecord, startTimeout } from './release-environment.ts'
import { failureOf, type ReleaseError } from './release-error.ts'
import { runStep, stepError } from './step/run-step.ts'

type End = Omit<ReleaseEnd, 'history'>

/**
 * Undoes the newest release, by the rollbacks of its steps or from its backup.
 *
 * @param records with current steps, newest first
 */
export async function undoNewest(environment: ReleaseEnvironment, records: readonly ReleaseRecord[]): Promise<End> {
  const { request, plan } = environment
  const restore = request.mode === 'restore'
  const newest = findRunToUndo(records, restore)
  if (newest === undefined) {
    const message = restore ? 'no release has a backup to restore' : 'there is no release to roll back'
    const failure = { phase: restore ? 'restore' : 'rollback', reason: 'nothing-to-undo' } as const
    return { outcome: 'failed', message, failure, version: null, record: null }
  }
  const { version } = newest
  const refuse = (message: string, failure: ReleaseFailure): End => {
    return { outcome: 'failed', message, failure, version, record: newest }
  }
  if (restore && newest.backup === null) {
    return refuse(
      `release ${version} of ${newest.startedAt}, the newest, has no backup, and an older backup would undo more than that release; undo it with --rollback first`,
      { phase: 'restore', reason: 'no-backup' },
    )
  }
  const without = newest.steps
    .filter(isInEffect)
    .map(({ name }) => name)
    .filter((name) => (plan.steps.find((step) => step.name === name)?.rollback ?? null) === null)
  const byBackup = restore || (without.length > 0 && plan.backup !== null && plan.backup.restoreOnFailure !== 'never')
  if (!byBackup && without.length > 0) {
    return refuse(
      `release ${version} cannot be rolled back: ${without.join(', ')} ${without.length === 1 ? 'has' : 'have'} no rollback in the config file; add one, or restore the backup with --restore`,
      { phase: 'rollback', reason: 'no-rollback', steps: without },
    )
  }
  const ofNewest = { ...environment, version: { name: version, certain: true } }
  const run = new RunRecord(ofNewest, newest)
  const rollback = new Rollback(ofNewest, run)
  const undone = byBackup ? await rollback.restore() : await rollback.rollBackSteps({ outcome: 'rolled-back' })
  const { failure } = undone.undo
  if (failure !== undefined) {
    await run.saveIfPossible()
    return { outcome: 'failed', message: undone.message, failure, version, record: run.current }
  }
  await run.save({ outcome: 'rolled-back' })
  const record = run.current
  const how = byBackup ? `restored its backup ${record.backup?.path}` : 'rolled back its steps'
  const message = `release ${version} of ${newest.startedAt} was undone: ${how}`
  return { outcome: 'done', message, failure: null, version, record }
}

interface RollbackResult {
  /** What was undone or what failed, for a person; empty if there was nothing to undo. */
  readonly message: string
  readonly undo: ReleaseUndo
}

/** Why the database is in use, and the backup is not restored. */
interface InUse {
  readonly why: string
  readonly notRestored: NonNullable<ReleaseUndo['notRestored']>
}

const NOTHING_UNDONE: ReleaseUndo = { rolledBack: [], kept: [], restored: false }

/** Undoes a run, from its backup or by the rollbacks of its steps. */
export class Rollback {
  readonly #environment: ReleaseEnvironment
  readonly #record: RunRecord

  constructor(environment: ReleaseEnvironment, record: RunRecord) {
    this.#environment = environment
    this.#record = record
  }

  /** Undoes what can and may be undone after a failure. */
  async afterFailure({ message: failure }: ReleaseError): Promise<RollbackResult> {
    const { plan, signal, request, backups } = this.#environment
    // Without the lock another release may be running, and a stop leaves no time: touch nothing.
    if (signal.aborted) {
      const why = (signal.reason as Error).message
      const undo: ReleaseUndo = { ...NOTHING_UNDONE, skipped: failureOf(signal.reason).reason }
      const reason = failure.includes(why) ? '' : why
      if (this.#record.current.steps.length === 0) return { message: reason, undo }
      return { message: reason === '' ? 'nothing was rolled back' : `nothing was rolled back: ${reason}`, undo }
    }
    if (this.#record.current.steps.length === 0) return { message: '', undo: NOTHING_UNDONE }
    const restore = plan.backup?.restoreOnFailure ?? 'never'
    if (restore !== 'never' && this.#record.current.backup !== null) {
      const inUse = restore === 'always' ? null : await this.#findUse(request.serving, backups)
      if (inUse === null) return await this.restore()
      const front = `the backup ${this.#record.current.backup.path} was not restored, because ${inUse.why} and later writes would be lost (punctual release --restore restores it anyway)`
      const { message, undo } = await this.rollBackSteps()
      return {
        message: [front, message].filter((part) => part !== '').join('; '),
        undo: { ...undo, notRestored: inUse.notRestored },
      }
    }
    return await this.rollBackSteps()
  }

  /** Restores the backup of the run. */
  async restore(): Promise<RollbackResult> {
    const { backups, request, records, signal, log } = this.#environment
    const { backup, host } = this.#record.current
    const failed = (message: string, failure: ReleaseFailure, restored: boolean): RollbackResult => {
      return { message, undo: { ...NOTHING_UNDONE, restored, failure } }
    }
    if (backups === null || backup === null) {
      return failed('this release has no backup', { phase: 'restore', reason: 'no-backup' }, false)
    }
    const timeout = startTimeout(request.settings.releaseTimeout, signal, 'releaseTimeout')
    try {
      log('info', { event: 'release-restore-started', path: backup.path }, `release: restoring ${backup.path}`)
      await records.endLeftoverSessions()
      await backups.restore(backup, host, timeout.signal)
    } catch (error) {
      const message = `could not restore the backup ${backup.path}: ${(error as Error).message}`
      return failed(message, failureOf(error, 'restore'), false)
    } finally {
      timeout.cancel()
    }
    const message = `restored the backup ${backup.path}`
    log('info', { event: 'release-restored', path: backup.path }, `release: restored ${backup.path}`)
    await this.#record.saveIfPossible({ restored: true })
    try {
      await records.deleteMarksOf(this.#record.current.id)
      return { message, undo: { ...NOTHING_UNDONE, restored: true } }
    } catch (error) {
      const failure: ReleaseFailure = { ...failureOf(error, 'restore'), reason: 'marks-not-deleted' }
      return failed(`${message}, but ${markNotDeleted(this.#environment, error)}`, failure, true)
    }
  }

  /**
   * Rolls back the steps that are in effect, in reverse order. Stops at the first failure.
   *
   * @param inTheEnd changes of the record once no step is in effect. Saved with the last step:
   *   otherwise a failed write could leave a run that is undone but does not say so.
   */
  async rollBackSteps(inTheEnd: Partial<ReleaseRecord> = {}): Promise<RollbackResult> {
    const { plan, request, version, records, signal, log } = this.#environment
    const timeout = startTimeout(request.settings.releaseTimeout, signal, 'releaseTimeout')
    const undone: string[] = []
    const without: string[] = []
    const failed = (message: string, failure: ReleaseFailure): RollbackResult => {
      return { message, undo: { rolledBack: undone, kept: without, restored: false, failure } }
    }
    try {
      for (const { name } of this.#record.current.steps.filter(isInEffect).toReversed()) {
        const step = plan.steps.find((one) => one.name === name)
        if (step === undefined || step.rollback === null) {
          without.push(name)
          continue
        }
        const stepTimeout = Math.min(step.timeout ?? request.settings.releaseTimeout, timeout.left()) as Milliseconds
        const fields = { step: name, phase: 'rollback' }
        log('info', { event: 'release-step-started', ...fields }, `rollback of ${name}: started`)
        const result = await runStep(this.#environment, this.#record.current.id, step, 'rollback', stepTimeout)
        const good = result.outcome === 'done'
        this.#mark(name, good ? 'done' : 'failed')
        if (!good) {
          const done = undone.length === 0 ? '' : `; already rolled back: ${undone.join(', ')}`
          const { message, details } = stepError(name, 'rollback', result)
          return failed(`${message}${done}`, details)
        }
        try {
          await records.deleteMark(version.name, name)
        } catch (error) {
          return failed(`step ${name} was rolled back, but ${markNotDeleted(this.#environment, error)}`, {
            ...failureOf(error, 'rollback'),
            reason: 'marks-not-deleted',
            step: name,
          })
        }
        if (!this.#record.current.steps.some(isInEffect)) this.#record.change(inTheEnd)
        await this.#record.saveIfPossible()
        undone.push(name)
        const { outcome, durationMs, attempts } = result
        log(
          'info',
          { event: 'release-step-done', ...fields, outcome, durationMs, attempts },
          `rollback of ${name}: done in ${formatElapsed(durationMs)}`,
        )
      }
    } finally {
      timeout.cancel()
    }
    const kept = without.length === 0 ? '' : `still applied, without a rollback: ${without.join(', ')}`
    const back = undone.length === 0 ? '' : `rolled back: ${undone.join(', ')}`
    return {
      message: [back, kept].filter((part) => part !== '').join('; '),
      undo: { rolledBack: undone, kept: without, restored: false },
    }
  }

  /** Finds out whether anything else uses the database; null if nothing does. */
  async #findUse(serving: boolean, backups: BackupStore | null): Promise<InUse | null> {
    if (serving) {
      return { why: 'the old generation uses the database', notRestored: { reason: 'old-generation-serving' } }
    }
    try {
      const sessions = (await backups?.otherSessions()) ?? 0
      if (sessions === 0) return null
      const why = `${sessions} other ${sessions === 1 ? 'session uses' : 'sessions use'} the database`
      return { why, notRestored: { reason: 'database-in-use', sessions } }
    } catch (error) {
      const why = `the users of the database are unknown (${(error as Error).message})`
      const { errorCode } = failureOf(error, 'restore')
      return { why, notRestored: { reason: 'users-unknown', ...(errorCode === undefined ? {} : { errorCode }) } }
    }
  }

  #mark(name: string, rollback: 'done' | 'failed'): void {
    const steps = this.#record.current.steps.map((one) => (one.name === name ? { ...one, rollback } : one))
    this.#record.change({ steps })
  }
}

function markNotDeleted({ version }: ReleaseEnvironment, error: unknown): string {
  return `could not delete its mark: ${(error as Error).message}; releases of ${version.name} skip the step until you delete its row from punctual_release_steps`
}
