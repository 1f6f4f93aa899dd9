import type { ReleaseRecord } from '../diagnostics/release-report.ts'
import { after, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import type { BackupStore } from './backup/backup-store.ts'
import type { ReleaseLogLine, ReleaseRequest } from './messages.ts'
import type { ReleaseRecords } from './record/release-records.ts'
import type { ReleasePlan } from './release-config.ts'
import { failureOf, ReleaseError } from './release-error.ts'
import type { AppIdentity, ReleaseVersion } from './release-identity.ts'

/** Writes a line of the log. `fields.event` names what happened. */
export type ReleaseLog = (level: ReleaseLogLine['level'], fields: ReleaseLogLine['fields'], message: string) => void

/** What a run works with. The lock is held by whoever calls. */
export interface ReleaseEnvironment {
  readonly request: ReleaseRequest
  readonly plan: ReleasePlan
  readonly app: AppIdentity
  readonly version: ReleaseVersion
  readonly records: ReleaseRecords
  readonly backups: BackupStore | null
  /** Aborted when the lock is lost, or everything stops; what is wrong then is its reason. */
  readonly signal: AbortSignal
  readonly log: ReleaseLog
  readonly onRecord: (record: ReleaseRecord) => void
}

/** The record of a run as it changes: told to whoever listens, and written down. */
export class RunRecord {
  readonly #tools: ReleaseEnvironment
  #now: ReleaseRecord

  constructor(tools: ReleaseEnvironment, record: ReleaseRecord) {
    this.#tools = tools
    this.#now = record
  }

  get current(): ReleaseRecord {
    return this.#now
  }

  /** Changes it without writing that down yet. */
  change(change: Partial<ReleaseRecord>): void {
    this.#now = { ...this.#now, ...change }
  }

  /** @throws Error if it cannot be written */
  async save(change: Partial<ReleaseRecord> = {}): Promise<void> {
    this.change(change)
    this.#tools.onRecord(this.#now)
    await this.#tools.records.save(this.#now)
  }

  /** For what has failed, and is told all the same. */
  async saveIfPossible(change: Partial<ReleaseRecord> = {}): Promise<void> {
    try {
      await this.save(change)
    } catch (error) {
      this.#tellUnwritten(error)
    }
  }

  /** The run has ended without success. */
  async end(outcome: ReleaseRecord['outcome'], error: ReleaseError): Promise<void> {
    this.change({ outcome, why: error.message, failure: error.details })
    try {
      await this.save({ endedAt: await this.#tools.records.now() })
    } catch (error) {
      this.#tellUnwritten(error)
    }
  }

  #tellUnwritten(error: unknown): void {
    const { records, log } = this.#tools
    log(
      'warn',
      { event: 'release-record-not-written', record: records.where, ...failureOf(error, 'record') },
      `release: ${records.where} cannot be written: ${(error as Error).message}`,
    )
  }
}

export interface SharedTimeout {
  /** Aborted when the limit has passed, or with the signal around it. */
  readonly signal: AbortSignal
  /** What is left, at least a millisecond. */
  left(): Milliseconds
  cancel(): void
}

/** A limit for several things that are done one after the other. */
export function startTimeout(limit: Milliseconds, around: AbortSignal, name: string): SharedTimeout {
  const own = new AbortController()
  const end = monotonicNow() + limit
  const cancel = after(limit, () => own.abort(passed(name, limit)), { keepAlive: false })
  return {
    signal: AbortSignal.any([own.signal, around]),
    left: () => ms(Math.max(1, end - monotonicNow())),
    cancel,
  }
}

function passed(name: string, limit: Milliseconds): ReleaseError {
  return new ReleaseError(`${name} (${formatElapsed(limit)}) has passed`, { phase: 'process', reason: 'timed-out' })
}
