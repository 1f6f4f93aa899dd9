import type { ReleaseFailure, ReleaseRecord, ReleaseUndo } from '../diagnostics/release-report.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import { findRunToUndo, isInEffect } from './applied-steps.ts'
import type { BackupStore } from './backup/backup-store.ts'
import type { ReleaseEnd } from './messages.ts'
import { type ReleaseEnvironment, RunRecord, startTimeout } from './release-environment.ts'
import { failureOf, type ReleaseError } from './release-error.ts'
import { runPlannedStep, stepError } from './step/run-step.ts'

type End = Omit<ReleaseEnd, 'history'>

/**
 * Undoes the newest release: by the roll-backs of its steps, or its back-up.
 *
 * @param records as they stand, the newest first
 */
export async function undoNewest(tools: ReleaseEnvironment, records: readonly ReleaseRecord[]): Promise<End> {
  const { request, plan } = tools
  const restore = request.mode === 'restore'
  const newest = findRunToUndo(records, restore)
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
    .filter(isInEffect)
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
  const undo = new Rollback(its, run)
  const undone = byBackup ? await undo.restore() : await undo.rollBackSteps({ outcome: 'rolled-back' })
  const { failure } = undone.undo
  if (failure !== undefined) {
    await run.saveIfPossible()
    return { outcome: 'failed', message: undone.message, failure, version, record: run.current }
  }
  await run.save({ outcome: 'rolled-back' })
  const record = run.current
  const how = byBackup ? `its back-up ${record.backup?.path} was restored` : 'its steps were rolled back'
  const message = `release ${version} of ${newest.startedAt} is undone: ${how}`
  return { outcome: 'done', message, failure: null, version, record }
}

interface RollbackResult {
  /** What was done, or what failed, in words; empty where there was nothing to do. */
  readonly message: string
  readonly undo: ReleaseUndo
}

interface Users {
  readonly told: string
  readonly notRestored: NonNullable<ReleaseUndo['notRestored']>
}

const NOTHING: ReleaseUndo = { rolledBack: [], kept: [], restored: false }

/** Undoes a run: by its back-up, or by the roll-backs of its steps. */
export class Rollback {
  readonly #tools: ReleaseEnvironment
  readonly #record: RunRecord

  constructor(tools: ReleaseEnvironment, record: RunRecord) {
    this.#tools = tools
    this.#record = record
  }

  /** After a failure: undoes what can and may be undone. */
  async afterFailure({ message: failure }: ReleaseError): Promise<RollbackResult> {
    const { plan, signal, request, backups } = this.#tools
    // Whoever has lost the lock must touch nothing: another may be at work. Who is told to stop has no time; the next start does it anew.
    if (signal.aborted) {
      const why = (signal.reason as Error).message
      const undo: ReleaseUndo = { ...NOTHING, skipped: failureOf(signal.reason).reason }
      const told = failure.includes(why) ? '' : why
      if (this.#record.current.steps.length === 0) return { message: told, undo }
      return { message: told === '' ? 'nothing was rolled back' : `nothing was rolled back: ${told}`, undo }
    }
    if (this.#record.current.steps.length === 0) return { message: '', undo: NOTHING }
    const restore = plan.backup?.restoreOnFailure ?? 'never'
    if (restore !== 'never' && this.#record.current.backup !== null) {
      const users = restore === 'always' ? null : await this.#users(request.serving, backups)
      if (users === null) return await this.restore()
      const front = `the back-up ${this.#record.current.backup.path} was not restored, because ${users.told} and what was written since would be lost (punctual release --restore does it all the same)`
      const { message, undo } = await this.rollBackSteps()
      return {
        message: [front, message].filter((part) => part !== '').join('; '),
        undo: { ...undo, notRestored: users.notRestored },
      }
    }
    return await this.rollBackSteps()
  }

  /** By its back-up. */
  async restore(): Promise<RollbackResult> {
    const { backups, request, records, signal, log } = this.#tools
    const { backup, host } = this.#record.current
    const failed = (message: string, failure: ReleaseFailure, restored: boolean): RollbackResult => {
      return { message, undo: { ...NOTHING, restored, failure } }
    }
    if (backups === null || backup === null) {
      return failed('this release has no back-up', { phase: 'restore', reason: 'no-backup' }, false)
    }
    const limit = startTimeout(request.settings.releaseTimeout, signal, 'releaseTimeout')
    try {
      log('info', { event: 'release-restore-started', path: backup.path }, `release: restoring ${backup.path}`)
      await records.endLeftoverSessions()
      await backups.restore(backup, host, limit.signal)
    } catch (error) {
      const message = `the back-up ${backup.path} could not be restored: ${(error as Error).message}`
      return failed(message, failureOf(error, 'restore'), false)
    } finally {
      limit.cancel()
    }
    const message = `the back-up ${backup.path} was restored`
    log('info', { event: 'release-restored', path: backup.path }, `release: restored ${backup.path}`)
    await this.#record.saveIfPossible({ restored: true })
    try {
      await records.deleteMarksOf(this.#record.current.id)
      return { message, undo: { ...NOTHING, restored: true } }
    } catch (error) {
      const failure: ReleaseFailure = { ...failureOf(error, 'restore'), reason: 'marks-not-deleted' }
      return failed(`${message}, but ${tellMarks(this.#tools, error)}`, failure, true)
    }
  }

  /**
   * In reverse order, those that were done and are not undone yet; after a failure no more are tried.
   *
   * @param inTheEnd what changes of the record once nothing stands. Written down with the last step: else a write that fails in between would leave a
   * run that is all undone and does not say so.
   */
  async rollBackSteps(inTheEnd: Partial<ReleaseRecord> = {}): Promise<RollbackResult> {
    const { plan, request, version, records, signal, log } = this.#tools
    const limit = startTimeout(request.settings.releaseTimeout, signal, 'releaseTimeout')
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
        const own = Math.min(step.timeout ?? request.settings.releaseTimeout, limit.left()) as Milliseconds
        const fields = { step: name, phase: 'rollback' }
        log('info', { event: 'release-step-started', ...fields }, `roll-back of ${name}: begins`)
        const result = await runPlannedStep(this.#tools, this.#record.current.id, step, 'rollback', own)
        const good = result.outcome === 'done'
        this.#mark(name, good ? 'done' : 'failed')
        if (!good) {
          const done = undone.length === 0 ? '' : `; rolled back before it: ${undone.join(', ')}`
          const { message, details } = stepError(name, 'rollback', result)
          return failed(`${message}${done}`, details)
        }
        try {
          await records.deleteMark(version.name, name)
        } catch (error) {
          return failed(`step ${name} was rolled back, but ${tellMarks(this.#tools, error)}`, {
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
          `roll-back of ${name}: done after ${formatElapsed(durationMs)}`,
        )
      }
    } finally {
      limit.cancel()
    }
    const kept = without.length === 0 ? '' : `done and without a roll-back: ${without.join(', ')}`
    const back = undone.length === 0 ? '' : `rolled back: ${undone.join(', ')}`
    return {
      message: [back, kept].filter((part) => part !== '').join('; '),
      undo: { rolledBack: undone, kept: without, restored: false },
    }
  }

  /** Who else uses the database, so that it is not restored; null if nobody does. */
  async #users(serving: boolean, backups: BackupStore | null): Promise<Users | null> {
    if (serving) {
      return { told: 'the old generation uses the database', notRestored: { reason: 'old-generation-serving' } }
    }
    try {
      const sessions = (await backups?.otherSessions()) ?? 0
      if (sessions === 0) return null
      const told = `${sessions} other sessions use the database`
      return { told, notRestored: { reason: 'database-in-use', sessions } }
    } catch (error) {
      const told = `it cannot be known who uses the database (${(error as Error).message})`
      const { errorCode } = failureOf(error, 'restore')
      return { told, notRestored: { reason: 'users-unknown', ...(errorCode === undefined ? {} : { errorCode }) } }
    }
  }

  #mark(name: string, rollback: 'done' | 'failed'): void {
    const steps = this.#record.current.steps.map((one) => (one.name === name ? { ...one, rollback } : one))
    this.#record.change({ steps })
  }
}

function tellMarks({ version }: ReleaseEnvironment, error: unknown): string {
  return `its mark cannot be deleted: ${(error as Error).message}; until that is done by hand in punctual_release_steps, releases of ${version.name} take its step for applied`
}
