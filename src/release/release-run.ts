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
import { runPlannedStep, stepError } from './step/run-step.ts'

/** One run of the steps: recorded as it goes, undone where it fails. */
export class ReleaseRun {
  readonly #tools: ReleaseEnvironment
  readonly #record: RunRecord

  private constructor(tools: ReleaseEnvironment, record: RunRecord) {
    this.#tools = tools
    this.#record = record
  }

  /** Begins a new run. */
  static async begin(tools: ReleaseEnvironment): Promise<ReleaseRun> {
    const record = new RunRecord(tools, {
      id: randomUUID(),
      app: tools.app.name,
      version: tools.version.name,
      host: hostname(),
      pid: process.pid,
      startedAt: await tools.records.now(),
      endedAt: null,
      outcome: 'running',
      steps: [],
      backup: null,
      restored: false,
      why: null,
      failure: null,
    })
    await record.save()
    return new ReleaseRun(tools, record)
  }

  get record(): ReleaseRecord {
    return this.#record.current
  }

  /** Runs back-up and steps. Resolves to what failed, with what was undone after it; null if nothing did. */
  async execute(): Promise<ReleaseError | null> {
    const { plan, request, log } = this.#tools
    const limit = startTimeout(request.settings.releaseTimeout, this.#tools.signal, 'releaseTimeout')
    try {
      const failure = (await this.#backUp(limit.signal)) ?? (await this.#runSteps(plan.steps, limit))
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
      const committed = await this.#takeUpMarks()
      const { message, undo } = await new Rollback(this.#tools, this.#record).afterFailure(failure)
      const unheard = committed ? 'its transaction was committed all the same' : ''
      const whole = new ReleaseError([failure.message, unheard, message].filter((part) => part !== '').join('\n'), {
        ...failure.details,
        ...(committed ? { committed } : {}),
        undo,
      })
      await this.#record.end(this.#tools.signal.aborted ? 'aborted' : 'failed', whole)
      return whole
    } finally {
      limit.cancel()
    }
  }

  /** Steps that are done and not recorded would be run again: whoever cannot write that down has not finished. */
  async #saveDone(): Promise<void> {
    const { records } = this.#tools
    try {
      await this.#record.save({ outcome: 'done', endedAt: await records.now() })
    } catch (error) {
      throw new ReleaseError(
        `all steps are done, but ${records.where} cannot be written: ${(error as Error).message}`,
        { ...failureOf(error, 'record'), reason: 'not-written' },
        { cause: error },
      )
    }
  }

  /** A server goes on with what a step has asked for, though the step has been killed. */
  async #endSessions(): Promise<void> {
    const { signal, records, log } = this.#tools
    // Without the lock they may be somebody else's.
    if (signal.aborted) return
    await records
      .endLeftoverSessions()
      .catch((error: Error) =>
        log('warn', { event: 'release-sessions-left', ...failureOf(error, 'step') }, `release: ${error.message}`),
      )
  }

  /** The answer to a COMMIT can be lost, or the step ended while it waits for it. What was committed is to be undone with the rest. */
  async #takeUpMarks(): Promise<boolean> {
    const { signal, records, log } = this.#tools
    const last = this.#record.current.steps.at(-1)
    // Where all stops nothing is undone; the next run looks at the marks.
    if (signal.aborted || last === undefined) return false
    try {
      const { steps } = withMarks(this.#record.current, await records.marks())
      this.#record.change({ steps })
      return steps.at(-1)?.outcome !== last.outcome
    } catch (error) {
      log(
        'warn',
        { event: 'release-marks-unreadable', ...failureOf(error, 'record') },
        `release: the marks of steps cannot be read: ${(error as Error).message}`,
      )
      return false
    }
  }

  async #backUp(signal: AbortSignal): Promise<ReleaseError | null> {
    const { backups, version, log } = this.#tools
    if (backups === null) return null
    try {
      log('info', { event: 'release-backup-started' }, 'release: making a back-up')
      const backup = await backups.make(version.name, signal)
      this.#record.change({ backup })
      log(
        'info',
        { event: 'release-backup-made', ...backup },
        `release: backed up to ${backup.path} (${formatBytes(backup.bytes)}, read back) after ${formatElapsed(backup.durationMs)}`,
      )
    } catch (error) {
      return new ReleaseError(
        `there is no back-up, so no step was run: ${(error as Error).message}`,
        failureOf(error, 'backup'),
        { cause: error },
      )
    }
    return await this.#write('the back-up is made')
  }

  async #runSteps(steps: readonly PlannedStep[], limit: SharedTimeout): Promise<ReleaseError | null> {
    const { request, log } = this.#tools
    for (const step of steps) {
      const own = Math.min(step.timeout ?? request.settings.releaseTimeout, limit.left()) as Milliseconds
      const fields = { step: step.name, phase: 'step' }
      log('info', { event: 'release-step-started', ...fields }, `release step ${step.name}: begins`)
      const result = await runPlannedStep(this.#tools, this.#record.current.id, step, 'run', own)
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
      const again = attempts > 1 ? `, at attempt ${attempts}` : ''
      log(
        'info',
        { event: 'release-step-done', ...fields, outcome, durationMs, attempts },
        outcome === 'done'
          ? `release step ${step.name}: done after ${formatElapsed(durationMs)}${again}`
          : `release step ${step.name}: an interrupted run has applied it already`,
      )
    }
    return null
  }

  /** What is done and cannot be written down has failed: resolves to that. */
  async #write(done: string, step?: string): Promise<ReleaseError | null> {
    try {
      await this.#record.save()
      return null
    } catch (error) {
      return new ReleaseError(
        `${done}, but ${this.#tools.records.where} cannot be written: ${(error as Error).message}`,
        { ...failureOf(error, 'record'), reason: 'not-written', ...(step === undefined ? {} : { step }) },
        { cause: error },
      )
    }
  }
}
