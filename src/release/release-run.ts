import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { ReleaseRecord, ReleaseStepRecord } from '../diagnostics/release-report.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import { withMarks } from './applied-steps.ts'
import { formatBytes } from './backup/backup-store.ts'
import type { PlannedStep } from './release-config.ts'
import { type ReleaseEnvironment, RunRecord, type SharedTimeout, startTimeout } from './release-environment.ts'
import { failureOf, ReleaseError } from './release-error.ts'
import { Rollback } from './rollback.ts'
import { runStep, stepError } from './step/run-step.ts'

/** One run of the release steps: recorded as it proceeds, undone if it fails. */
export class ReleaseRun {
  readonly #environment: ReleaseEnvironment
  readonly #record: RunRecord

  private constructor(environment: ReleaseEnvironment, record: RunRecord) {
    this.#environment = environment
    this.#record = record
  }

  /** Starts a run and saves its record. */
  static async begin(environment: ReleaseEnvironment): Promise<ReleaseRun> {
    const record = new RunRecord(environment, {
      id: randomUUID(),
      app: environment.app.name,
      version: environment.version.name,
      host: hostname(),
      pid: process.pid,
      startedAt: await environment.records.now(),
      endedAt: null,
      outcome: 'running',
      steps: [],
      backup: null,
      restored: false,
      why: null,
      failure: null,
    })
    await record.save()
    return new ReleaseRun(environment, record)
  }

  get record(): ReleaseRecord {
    return this.#record.current
  }

  /**
   * Makes the backup and runs the steps. Resolves with the failure after undoing what it can; null
   * on success.
   */
  async execute(): Promise<ReleaseError | null> {
    const { plan, request, log } = this.#environment
    const timeout = startTimeout(request.settings.releaseTimeout, this.#environment.signal, 'releaseTimeout')
    try {
      const failure = (await this.#backUp(timeout.signal)) ?? (await this.#runSteps(plan.steps, timeout))
      if (failure === null) {
        await this.#saveDone()
        return null
      }
      await this.#endSessions()
      log(
        'error',
        { event: `release-${failure.details.phase}-failed`, ...failure.details },
        failure.message.split('\n')[0] ?? '',
      )
      const committed = await this.#addMarkedSteps()
      const { message, undo } = await new Rollback(this.#environment, this.#record).afterFailure(failure)
      const note = committed ? 'its transaction had already been committed' : ''
      const whole = new ReleaseError([failure.message, note, message].filter((part) => part !== '').join('\n'), {
        ...failure.details,
        ...(committed ? { committed } : {}),
        undo,
      })
      await this.#record.end(this.#environment.signal.aborted ? 'aborted' : 'failed', whole)
      return whole
    } finally {
      timeout.cancel()
    }
  }

  /** A run whose success cannot be saved has failed: its steps would run again. */
  async #saveDone(): Promise<void> {
    try {
      await this.#record.save({ outcome: 'done', endedAt: await this.#environment.records.now() })
    } catch (error) {
      throw this.#notWritten('all steps are done', error)
    }
  }

  /** Ends the sessions of a killed step: the server still executes what they asked for. */
  async #endSessions(): Promise<void> {
    const { signal, records, log } = this.#environment
    // Without the lock they may belong to another release.
    if (signal.aborted) return
    await records
      .endLeftoverSessions()
      .catch((error: Error) =>
        log('warn', { event: 'release-sessions-left', ...failureOf(error, 'step') }, `release: ${error.message}`),
      )
  }

  /**
   * Adds a step that was committed although it failed: the reply to its COMMIT was lost, or it was
   * killed while it waited for it. Returns whether there was one.
   */
  async #addMarkedSteps(): Promise<boolean> {
    const { signal, records, log } = this.#environment
    const last = this.#record.current.steps.at(-1)
    // Nothing is undone while Punctual stops; the next run reads the marks.
    if (signal.aborted || last === undefined) return false
    try {
      const { steps } = withMarks(this.#record.current, await records.marks())
      this.#record.change({ steps })
      return steps.at(-1)?.outcome !== last.outcome
    } catch (error) {
      log(
        'warn',
        { event: 'release-marks-unreadable', ...failureOf(error, 'record') },
        `release: could not read which steps were applied: ${(error as Error).message}`,
      )
      return false
    }
  }

  async #backUp(signal: AbortSignal): Promise<ReleaseError | null> {
    const { backups, version, log } = this.#environment
    if (backups === null) return null
    try {
      log('info', { event: 'release-backup-started' }, 'release: making a backup')
      const backup = await backups.make(version.name, signal)
      this.#record.change({ backup })
      log(
        'info',
        { event: 'release-backup-made', ...backup },
        `release: backed up to ${backup.path} (${formatBytes(backup.bytes)}, verified) in ${formatElapsed(backup.durationMs)}`,
      )
    } catch (error) {
      return new ReleaseError(
        `no step was run, because the backup failed: ${(error as Error).message}`,
        failureOf(error, 'backup'),
        { cause: error },
      )
    }
    return await this.#write('the backup is made')
  }

  async #runSteps(steps: readonly PlannedStep[], timeout: SharedTimeout): Promise<ReleaseError | null> {
    const { request, log } = this.#environment
    for (const step of steps) {
      const stepTimeout = Math.min(step.timeout ?? request.settings.releaseTimeout, timeout.left()) as Milliseconds
      const fields = { step: step.name, phase: 'step' }
      log('info', { event: 'release-step-started', ...fields }, `release step ${step.name}: started`)
      const result = await runStep(this.#environment, this.#record.current.id, step, 'run', stepTimeout)
      const { outcome, durationMs, attempts } = result
      const good = outcome === 'done' || outcome === 'already-done'
      const record: ReleaseStepRecord = {
        name: step.name,
        outcome,
        durationMs,
        attempts,
        rollback: null,
        tail: good ? null : result.tail,
      }
      this.#record.change({ steps: [...this.#record.current.steps, record] })
      if (!good) {
        await this.#record.saveIfPossible()
        return stepError(step.name, 'step', result)
      }
      const unwritten = await this.#write(`release step ${step.name} is done`, step.name)
      if (unwritten !== null) return unwritten
      const attempt = attempts > 1 ? ` (attempt ${attempts})` : ''
      log(
        'info',
        { event: 'release-step-done', ...fields, outcome, durationMs, attempts },
        outcome === 'done'
          ? `release step ${step.name}: done in ${formatElapsed(durationMs)}${attempt}`
          : `release step ${step.name}: already applied by an interrupted run`,
      )
    }
    return null
  }

  /**
   * Saves the record. Resolves with the failure if it cannot be written: what is not recorded has
   * failed.
   */
  async #write(done: string, step?: string): Promise<ReleaseError | null> {
    try {
      await this.#record.save()
      return null
    } catch (error) {
      return this.#notWritten(done, error, step)
    }
  }

  #notWritten(done: string, error: unknown, step?: string): ReleaseError {
    return new ReleaseError(
      `${done}, but could not write ${this.#environment.records.where}: ${(error as Error).message}`,
      { ...failureOf(error, 'record'), reason: 'not-written', ...(step === undefined ? {} : { step }) },
      { cause: error },
    )
  }
}
