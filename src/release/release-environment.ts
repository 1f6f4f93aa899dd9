import type { ReleaseRecord } from '../diagnostics/release-report.ts'
import { redact, redactAll } from '../redaction/redaction.ts'
import { after, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import type { BackupStore } from './backup/backup-store.ts'
import type { ReleaseLogLine, ReleaseRequest } from './messages.ts'
import type { ReleaseRecords } from './record/release-records.ts'
import type { ReleasePlan } from './release-config.ts'
import { failureOf, ReleaseError } from './release-error.ts'
import type { AppIdentity, ReleaseVersion } from './release-identity.ts'

/** Writes a log line. `fields.event` names what happened. */
export type ReleaseLog = (level: ReleaseLogLine['level'], fields: ReleaseLogLine['fields'], message: string) => void

/** Everything that running or undoing a release needs. The caller holds the release lock. */
export interface ReleaseEnvironment {
  readonly request: ReleaseRequest
  readonly plan: ReleasePlan
  readonly app: AppIdentity
  readonly version: ReleaseVersion
  readonly records: ReleaseRecords
  readonly backups: BackupStore | null
  /** Aborted, with the reason, when the lock is lost or Punctual stops. */
  readonly signal: AbortSignal
  readonly log: ReleaseLog
  readonly onRecord: (record: ReleaseRecord) => void
}

/** The record of a run: reports every change and saves it. */
export class RunRecord {
  readonly #environment: ReleaseEnvironment
  #current: ReleaseRecord

  constructor(environment: ReleaseEnvironment, record: ReleaseRecord) {
    this.#environment = environment
    this.#current = record
  }

  get current(): ReleaseRecord {
    return this.#current
  }

  /** Changes the record without saving it yet. */
  change(change: Partial<ReleaseRecord>): void {
    this.#current = { ...this.#current, ...change }
  }

  /** Saves the record. @throws Error if it cannot be written */
  async save(change: Partial<ReleaseRecord> = {}): Promise<void> {
    this.change(change)
    this.#environment.onRecord(this.#current)
    await this.#environment.records.save(this.#current)
  }

  /** Saves the record; only logs an error if it cannot be written. */
  async saveIfPossible(change: Partial<ReleaseRecord> = {}): Promise<void> {
    try {
      await this.save(change)
    } catch (error) {
      this.#logUnwritten(error)
    }
  }

  /** Saves that the run failed or was aborted. */
  async end(outcome: ReleaseRecord['outcome'], error: ReleaseError): Promise<void> {
    this.change({ outcome, why: redact(error.message), failure: redactAll(error.details) })
    try {
      await this.save({ endedAt: await this.#environment.records.now() })
    } catch (error) {
      this.#logUnwritten(error)
    }
  }

  #logUnwritten(error: unknown): void {
    const { records, log } = this.#environment
    log(
      'warn',
      { event: 'release-record-not-written', record: records.where, ...failureOf(error, 'record') },
      `release: could not write ${records.where}: ${(error as Error).message}`,
    )
  }
}

/** A timeout for several operations that run one after another. */
export interface SharedTimeout {
  /** Aborted when the time has passed, or with the outer signal. */
  readonly signal: AbortSignal
  /** The time left, at least 1 ms. */
  left(): Milliseconds
  cancel(): void
}

/** Starts the timeout. `name` is its setting, for the error. */
export function startTimeout(timeout: Milliseconds, outer: AbortSignal, name: string): SharedTimeout {
  const own = new AbortController()
  const end = monotonicNow() + timeout
  const cancel = after(timeout, () => own.abort(timeoutError(name, timeout)), { keepAlive: false })
  return {
    signal: AbortSignal.any([own.signal, outer]),
    left: () => ms(Math.max(1, end - monotonicNow())),
    cancel,
  }
}

function timeoutError(name: string, timeout: Milliseconds): ReleaseError {
  return new ReleaseError(`timed out after ${formatElapsed(timeout)} (${name})`, {
    phase: 'process',
    reason: 'timed-out',
  })
}
