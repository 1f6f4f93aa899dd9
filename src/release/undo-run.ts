import type { ReleaseRecord } from '../report/release-report.ts'
import { type Milliseconds, tellDuration } from '../wait/duration.ts'
import type { BackupStore } from './backup/backup-store.ts'
import type { ReleaseTools } from './release-tools.ts'
import { runPlannedStep, tellFailure } from './run-planned-step.ts'
import type { RunRecord } from './run-record.ts'
import { isStanding } from './standing-steps.ts'
import { timeLimit } from './time-limit.ts'

interface Undone {
  readonly failed: boolean
  /** What was done, or what failed; empty where there was nothing to do. */
  readonly message: string
}

/** Undoes a run: by its back-up, or by the roll-backs of its steps. */
export class UndoRun {
  readonly #tools: ReleaseTools
  readonly #record: RunRecord

  constructor(tools: ReleaseTools, record: RunRecord) {
    this.#tools = tools
    this.#record = record
  }

  /** After a failure. What was done, in words; empty where there was nothing to undo. */
  async afterFailure(failure: string): Promise<string> {
    const { plan, signal, request, backups } = this.#tools
    // Whoever has lost the lock must touch nothing: another may be at work. Who is told to stop has no time; the next start does it anew.
    if (signal.aborted) {
      const why = (signal.reason as Error).message
      if (this.#record.now.steps.length === 0) return failure.includes(why) ? '' : why
      return failure.includes(why) ? 'nothing was rolled back' : `nothing was rolled back: ${why}`
    }
    if (this.#record.now.steps.length === 0) return ''
    const restore = plan.backup?.restoreOnFailure ?? 'never'
    if (restore !== 'never' && this.#record.now.backup !== null) {
      const users = restore === 'always' ? null : await this.#users(request.serving, backups)
      if (users === null) return (await this.restore()).message
      const front = `the back-up ${this.#record.now.backup.path} was not restored, because ${users} and what was written since would be lost (punctual release --restore does it all the same)`
      return [front, (await this.rollBackSteps()).message].filter((part) => part !== '').join('; ')
    }
    return (await this.rollBackSteps()).message
  }

  /** By its back-up. */
  async restore(): Promise<Undone> {
    const { backups, request, records, signal, log } = this.#tools
    const { backup, host } = this.#record.now
    if (backups === null || backup === null) return { failed: true, message: 'this release has no back-up' }
    const limit = timeLimit(request.settings.releaseLimit, signal, 'releaseLimit')
    try {
      log('info', `release: restoring ${backup.path}`)
      await records.endLeftovers()
      await backups.restore(backup, host, limit.signal)
    } catch (error) {
      return { failed: true, message: `the back-up ${backup.path} could not be restored: ${(error as Error).message}` }
    } finally {
      limit.cancel()
    }
    const message = `the back-up ${backup.path} was restored`
    log('info', `release: restored ${backup.path}`)
    await this.#record.saveIfPossible({ restored: true })
    try {
      await records.forgetMarksOf(this.#record.now.id)
      return { failed: false, message }
    } catch (error) {
      return { failed: true, message: `${message}, but ${tellMarks(this.#tools, error)}` }
    }
  }

  /**
   * In reverse order, those that were done and are not undone yet; after a failure no more are tried.
   *
   * @param inTheEnd what changes of the record once nothing stands. Written down with the last step: else a write that fails in between would leave a
   * run that is all undone and does not say so.
   */
  async rollBackSteps(inTheEnd: Partial<ReleaseRecord> = {}): Promise<Undone> {
    const { plan, request, version, records, signal, log } = this.#tools
    const limit = timeLimit(request.settings.releaseLimit, signal, 'releaseLimit')
    const undone: string[] = []
    const without: string[] = []
    try {
      for (const { name } of this.#record.now.steps.filter(isStanding).toReversed()) {
        const step = plan.steps.find((one) => one.name === name)
        if (step === undefined || step.rollback === null) {
          without.push(name)
          continue
        }
        const own = Math.min(step.limit ?? request.settings.releaseLimit, limit.left()) as Milliseconds
        log('info', `roll-back of ${name}: begins`)
        const result = await runPlannedStep(this.#tools, this.#record.now.id, step, 'rollback', own)
        const good = result.outcome === 'done'
        this.#mark(name, good ? 'done' : 'failed')
        if (!good) {
          const done = undone.length === 0 ? '' : `; rolled back before it: ${undone.join(', ')}`
          return { failed: true, message: `the roll-back of ${tellFailure(name, result)}${done}` }
        }
        try {
          await records.forgetMark(version.name, name)
        } catch (error) {
          return { failed: true, message: `step ${name} was rolled back, but ${tellMarks(this.#tools, error)}` }
        }
        if (!this.#record.now.steps.some(isStanding)) this.#record.change(inTheEnd)
        await this.#record.saveIfPossible()
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

  async #users(serving: boolean, backups: BackupStore | null): Promise<string | null> {
    if (serving) return 'the old generation uses the database'
    try {
      const others = (await backups?.others()) ?? 0
      return others > 0 ? `${others} other sessions use the database` : null
    } catch (error) {
      return `it cannot be known who uses the database (${(error as Error).message})`
    }
  }

  #mark(name: string, rollback: 'done' | 'failed'): void {
    const steps = this.#record.now.steps.map((one) => (one.name === name ? { ...one, rollback } : one))
    this.#record.change({ steps })
  }
}

function tellMarks({ version }: ReleaseTools, error: unknown): string {
  return `its mark cannot be deleted: ${(error as Error).message}; until that is done by hand in punctual_release_steps, releases of ${version.name} take its step for applied`
}
