import type { ReleaseRecord } from '../../report/release-report.ts'

/** How many runs are looked back on, and kept in a file. */
export const RECORDS_KEPT = 500

/** Where runs are recorded. Written to only by whoever has the release lock, or has had it. */
export interface ReleaseRecords {
  /** `the table punctual_releases`, or a path, for messages. */
  readonly where: string
  /** By the clock that all machines share, where there is one. ISO 8601. */
  now(): Promise<string>
  /** Creates what is missing. Under the lock. */
  prepare(): Promise<void>
  /** The newest first. */
  list(): Promise<readonly ReleaseRecord[]>
  /** Adds it, or puts it in the place of the one with its id. */
  save(record: ReleaseRecord): Promise<void>
  /** Forgets that transactional steps of a run were applied: one of them, or all. */
  forgetMarks(run: string, step?: string): Promise<void>
  /**
   * Ends what an interrupted release may have left working in the database, so that it cannot overlap with ours. Under the lock.
   *
   * @throws Error if it will not end
   */
  endLeftovers(): Promise<void>
  /** Never rejects. */
  close(): Promise<void>
}
