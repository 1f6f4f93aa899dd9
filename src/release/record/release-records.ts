import type { ReleaseRecord } from '../../diagnostics/release-report.ts'
import type { Milliseconds } from '../../resilience/duration.ts'

/** How many runs are read, and kept in a file. */
export const RECORDS_KEPT = 500

/** Marks a transactional step as applied; written in the transaction that applied it. */
export interface ReleaseMark {
  /** Id of the run. */
  readonly run: string
  readonly step: string
}

/** Stores the runs. Only the current or a former holder of the release lock writes to it. */
export interface ReleaseRecords {
  /** `the table punctual_releases`, or a path, for messages. */
  readonly where: string
  /** ISO 8601, by a clock shared by all machines if there is one. */
  now(): Promise<string>
  /** Creates missing tables or directories. Requires the lock. */
  prepare(): Promise<void>
  /** Newest first. */
  list(): Promise<readonly ReleaseRecord[]>
  /** Inserts or replaces the record with this id. */
  save(record: ReleaseRecord): Promise<void>
  /** The transactional steps that were committed, oldest first. */
  marks(): Promise<readonly ReleaseMark[]>
  /** Deletes the mark of a step of a version, whichever run applied it. */
  deleteMark(version: string, step: string): Promise<void>
  /** Deletes the marks of a run whose backup was restored. */
  deleteMarksOf(run: string): Promise<void>
  /**
   * Ends the sessions that an interrupted release left in the database, so that it cannot overlap
   * with this one. Requires the lock.
   *
   * @throws ReleaseError if they do not end
   */
  endLeftoverSessions(): Promise<void>
  /**
   * The indexes that PostgreSQL does not use, because `create index concurrently` was interrupted:
   * as they are written in SQL. Empty for other databases.
   */
  invalidIndexes(): Promise<readonly string[]>
  /** Drops an invalid index without blocking the app. */
  dropIndex(name: string, timeout: Milliseconds): Promise<void>
  /** Never rejects. */
  close(): Promise<void>
}
