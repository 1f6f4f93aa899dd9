import type { ReleaseRecord } from '../diagnostics/release-report.ts'
import { failureOf, type ReleaseError } from './release-error.ts'
import type { ReleaseTools } from './release-tools.ts'

/** The record of a run as it changes: told to whoever listens, and written down. */
export class RunRecord {
  readonly #tools: ReleaseTools
  #now: ReleaseRecord

  constructor(tools: ReleaseTools, record: ReleaseRecord) {
    this.#tools = tools
    this.#now = record
  }

  get now(): ReleaseRecord {
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
