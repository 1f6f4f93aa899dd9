import type { ReleaseRecord } from '../../diagnostics/release-report.ts'

/** How many runs are looked back on, and kept in a file. */
export const RECORDS_KEPT = 500

/** A transactional step that was applied, written down in the very transaction that did it. */
export interface ReleaseMark {
  /** Id of the run's record. */
  readonly run: string
  readonly step: string
}

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
  /** What is marked as applied of the transactional steps, whatever the runs have heard of it. The oldest first. */
  marks(): Promise<readonly ReleaseMark[]>
  /** Forgets that a transactional step of a version was applied, whichever run has done it. */
  deleteMark(version: string, step: string): Promise<void>
  /** Forgets what a run has applied: its back-up, in which the marks of earlier runs are right, was restored. */
  deleteMarksOf(run: string): Promise<void>
  /**
   * Ends what an interrupted release may have left working in the database, so that it cannot overlap with ours. Under the lock.
   *
   * @throws Error if it will not end
   */
  endLeftoverSessions(): Promise<void>
  /** Never rejects. */
  close(): Promise<void>
}
