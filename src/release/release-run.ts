import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { ReleaseRecord, ReleaseStepRecord } from '../report/release-report.ts'
import type { PlannedStep, ReleasePlan } from '../settings/release-config.ts'
import { type Milliseconds, tellDuration } from '../wait/duration.ts'
import type { AppIdentity } from './app-identity.ts'
import { type BackupStore, tellBytes } from './backup/backup-store.ts'
import type { ReleaseVersion } from './find-version.ts'
import type { ReleaseRequest } from './messages.ts'
import type { ReleaseRecords } from './record/release-records.ts'
import { runStep, type StepResult } from './step/run-step.ts'
import { timeLimit } from './time-limit.ts'

/** What a run works with. The lock is held by whoever calls. */
export interface ReleaseTools {
  readonly request: ReleaseRequest
  readonly plan: ReleasePlan
  readonly app: AppIdentity
  readonly version: ReleaseVersion
  readonly records: ReleaseRecords
  readonly backups: BackupStore | null
  /** Aborted when the lock is lost, or everything stops; what is wrong then is its reason. */
  readonly signal: AbortSignal
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void
  readonly onRecord: (record: ReleaseRecord) => void
}

/** One run of the steps: recorded as it goes, undone where it fails. */
export class ReleaseRun {
  readonly #tools: ReleaseTools
  #record: ReleaseRecord

  private constructor(tools: ReleaseTools, record: ReleaseRecord) {
    this.#tools = tools
    this.#record = record
  }

  /** Begins a new run. */
  static async begin(tools: ReleaseTools): Promise<ReleaseRun> {
    const run = new ReleaseRun(tools, {
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
    })
    await run.#save({})
    return run
  }

  /** Takes up a run that has ended, to undo it. */
  static resume(tools: ReleaseTools, record: ReleaseRecord): ReleaseRun {
    return new ReleaseRun(tools, record)
  }

  get record(): ReleaseRecord {
    return this.#record
  }

  /** Runs back-up and steps. Resolves to what failed, in words; null if nothing did. */
  async carryOut(): Promise<string | null> {
    const { plan, request, log } = this.#tools
    const limit = timeLimit(request.settings.releaseLimit, this.#tools.signal, 'releaseLimit')
    try {
      const failure = (await this.#backUp(limit.signal)) ?? (await this.#runSteps(plan.steps, limit))
      if (failure === null) {
        await this.#saveDone()
        return null
      }
      await this.#endSessions()
      log('error', failure.split('\n')[0] ?? '')
      const undone = await this.#undo(failure)
      const why = undone === '' ? failure : `${failure}\n${undone}`
      const outcome = this.#tools.signal.aborted ? 'aborted' : 'failed'
      await this.#saveIfPossible({ outcome, why })
      return why
    } finally {
      limit.cancel()
    }
  }

  /** Undoes a run that has ended: by its back-up, or by the roll-backs of its steps. Resolves to what failed; null if nothing did. */
  async rollBack(byBackup: boolean): Promise<string | null> {
    const told = byBackup ? await this.#restore() : await this.#rollBackSteps()
    if (told.failed) {
      await this.#saveIfPossible({})
      return told.message
    }
    await this.#tools.records.forgetMarks(this.#record.id)
    await this.#save({ outcome: 'rolled-back' })
    return null
  }

  async #save(change: Partial<ReleaseRecord>): Promise<void> {
    this.#record = { ...this.#record, ...change }
    this.#tools.onRecord(this.#record)
    await this.#tools.records.save(this.#record)
  }

  /** Steps that are done and not recorded would be run again: whoever cannot write that down has not finished. */
  async #saveDone(): Promise<void> {
    const { records } = this.#tools
    try {
      await this.#save({ outcome: 'done', endedAt: await records.now() })
    } catch (error) {
      throw new Error(`all steps are done, but ${records.where} cannot be written: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  /** What has failed is told all the same. */
  async #saveIfPossible(change: Partial<ReleaseRecord>): Promise<void> {
    const { records, log } = this.#tools
    try {
      const ends = change.outcome === undefined ? {} : { endedAt: await records.now() }
      await this.#save({ ...change, ...ends })
    } catch (error) {
      log('warn', `release: ${records.where} cannot be written: ${(error as Error).message}`)
    }
  }

  /** A server goes on with what a step has asked for, though the step has been killed. */
  async #endSessions(): Promise<void> {
    const { signal, records, log } = this.#tools
    // Without the lock they may be somebody else's.
    if (signal.aborted) return
    await records.endLeftovers().catch((error: Error) => log('warn', `release: ${error.message}`))
  }

  async #backUp(signal: AbortSignal): Promise<string | null> {
    const { backups, version, log } = this.#tools
    if (backups === null) return null
    try {
      log('info', 'release: making a back-up')
      const backup = await backups.make(version.name, signal)
      await this.#save({ backup })
      log(
        'info',
        `release: backed up to ${backup.path} (${tellBytes(backup.bytes)}, read back) after ${tellDuration(backup.durationMs)}`,
      )
      return null
    } catch (error) {
      return `there is no back-up, so no step was run: ${(error as Error).message}`
    }
  }

  async #runSteps(steps: readonly PlannedStep[], limit: ReturnType<typeof timeLimit>): Promise<string | null> {
    const { request, log } = this.#tools
    for (const step of steps) {
      const own = Math.min(step.limit ?? request.settings.releaseLimit, limit.left()) as Milliseconds
      log('info', `release step ${step.name}: begins`)
      const result = await this.#runStep(step, 'run', own, this.#tools.signal)
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
      const change = { steps: [...this.#record.steps, record] }
      if (!good) {
        await this.#saveIfPossible(change)
        return tellFailure(step.name, result)
      }
      await this.#save(change)
      const again = attempts > 1 ? `, at attempt ${attempts}` : ''
      log(
        'info',
        outcome === 'done'
          ? `release step ${step.name}: done after ${tellDuration(durationMs)}${again}`
          : `release step ${step.name}: an interrupted run has applied it already`,
      )
    }
    return null
  }

  #runStep(step: PlannedStep, form: 'run' | 'rollback', limit: Milliseconds, signal: AbortSignal): Promise<StepResult> {
    const { request, plan, app, version, log } = this.#tools
    const work = form === 'run' ? step.run : step.rollback
    const what = form === 'run' ? `release step ${step.name}` : `roll-back of ${step.name}`
    return runStep(
      {
        configFile: request.configFile,
        cwd: request.cwd,
        name: step.name,
        form,
        command: typeof work === 'string' ? work : null,
        transactional: step.transactional && typeof work === 'function',
        app: app.name,
        version: version.name,
        markFor: version.certain ? this.#record.id : null,
        database: plan.lock,
        applicationName: app.stepSessions,
        tableLock: request.settings.releaseTableLock,
      },
      {
        limit,
        signal,
        onLine: (line) => log('info', `${what}: ${line}`),
        onRetry: (attempt) =>
          log(
            'warn',
            `${what}: a lock of the database was not to be had; it gives way and is tried again (attempt ${attempt})`,
          ),
      },
    )
  }

  /** After a failure. What was done, in words; empty where there was nothing to undo. */
  async #undo(failure: string): Promise<string> {
    const { plan, signal, request, backups } = this.#tools
    // Whoever has lost the lock must touch nothing: another may be at work. Who is told to stop has no time; the next start does it anew.
    if (signal.aborted) {
      const why = (signal.reason as Error).message
      if (this.#record.steps.length === 0) return failure.includes(why) ? '' : why
      return failure.includes(why) ? 'nothing was rolled back' : `nothing was rolled back: ${why}`
    }
    if (this.#record.steps.length === 0) return ''
    const restore = plan.backup?.restoreOnFailure ?? 'never'
    if (restore !== 'never' && this.#record.backup !== null) {
      const users = restore === 'always' ? null : await this.#users(request.serving, backups)
      if (users === null) return (await this.#restore()).message
      const front = `the back-up ${this.#record.backup.path} was not restored, because ${users} and what was written since would be lost (punctual release --restore does it all the same)`
      return [front, (await this.#rollBackSteps()).message].filter((part) => part !== '').join('; ')
    }
    return (await this.#rollBackSteps()).message
  }

  async #users(serving: boolean, backups: BackupStore | null): Promise<string | null> {
    if (serving) return 'the old generation uses the database'
    const others = await backups?.others().catch(() => null)
    return typeof others === 'number' && others > 0 ? `${others} other sessions use the database` : null
  }

  async #restore(): Promise<{ readonly failed: boolean; readonly message: string }> {
    const { backups, request, records, signal, log } = this.#tools
    const { backup, host } = this.#record
    if (backups === null || backup === null) return { failed: true, message: 'this release has no back-up' }
    const limit = timeLimit(request.settings.releaseLimit, signal, 'releaseLimit')
    try {
      log('info', `release: restoring ${backup.path}`)
      await records.endLeftovers()
      await backups.restore(backup, host, limit.signal)
      await records.forgetMarks(this.#record.id)
      await this.#saveIfPossible({ restored: true })
      log('info', `release: restored ${backup.path}`)
      return { failed: false, message: `the back-up ${backup.path} was restored` }
    } catch (error) {
      return { failed: true, message: `the back-up ${backup.path} could not be restored: ${(error as Error).message}` }
    } finally {
      limit.cancel()
    }
  }

  /** In reverse order, those that were done and are not undone yet; after a failure no more are tried. */
  async #rollBackSteps(): Promise<{ readonly failed: boolean; readonly message: string }> {
    const { plan, request, records, signal, log } = this.#tools
    const limit = timeLimit(request.settings.releaseLimit, signal, 'releaseLimit')
    const undone: string[] = []
    const without: string[] = []
    try {
      for (const { name, outcome, rollback } of this.#record.steps.toReversed()) {
        if ((outcome !== 'done' && outcome !== 'already-done') || rollback === 'done') continue
        const step = plan.steps.find((one) => one.name === name)
        if (step === undefined || step.rollback === null) {
          without.push(name)
          continue
        }
        const own = Math.min(step.limit ?? request.settings.releaseLimit, limit.left()) as Milliseconds
        log('info', `roll-back of ${name}: begins`)
        const result = await this.#runStep(step, 'rollback', own, signal)
        const good = result.outcome === 'done'
        this.#mark(name, good ? 'done' : 'failed')
        if (!good) {
          const done = undone.length === 0 ? '' : `; rolled back before it: ${undone.join(', ')}`
          return { failed: true, message: `the roll-back of ${tellFailure(name, result)}${done}` }
        }
        await records.forgetMarks(this.#record.id, name)
        await this.#saveIfPossible({})
        undone.push(name)
        log('info', `roll-back of ${name}: done after ${tellDuration(result.durationMs)}`)
      }
    } finally {
      limit.cancel()
    }
    const kept = without.length === 0 ? '' : `done and without a roll-back: ${without.join(', ')}`
    const back = undone.length === 0 ? '' : `rolled back: ${undone.join(', ')}`
    return { failed: false, message: [back, kept].filter((part) => part !== '').join('; ') }
  }

  #mark(name: string, rollback: 'done' | 'failed'): void {
    const steps = this.#record.steps.map((one) => (one.name === name ? { ...one, rollback } : one))
    this.#record = { ...this.#record, steps }
  }
}

function tellFailure(name: string, { outcome, why, tail, durationMs }: StepResult): string {
  const how = outcome === 'failed' ? 'failed' : outcome === 'expired' ? 'did not end' : 'was aborted'
  const [first = '', ...rest] = why.split('\n')
  const stack = rest.length === 0 ? '' : `\n${indent(rest.join('\n'))}`
  const output = tail === '' ? '' : `\nthe end of its output:\n${indent(tail)}`
  return `release step ${name} ${how} after ${tellDuration(durationMs)}: ${first}${stack}${output}`
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ')
}
