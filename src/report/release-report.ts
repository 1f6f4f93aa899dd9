/** How one step of a release ended. */
export interface ReleaseStepRecord {
  readonly name: string
  /**
   * - `done`; `already-done`: a transactional step that an interrupted run of the same version had committed.
   * - `failed`: it said so. `expired`: it was ended at its limit. `aborted`: it was ended because the lock was lost, or everything stops.
   */
  readonly outcome: 'done' | 'already-done' | 'failed' | 'expired' | 'aborted'
  readonly durationMs: number
  /** More than one where a lock of the database was not to be had at once. */
  readonly attempts: number
  /** What became of its roll-back; null where none was tried. */
  readonly rollback: 'done' | 'failed' | null
  /** The end of what it printed, where it failed; else null. */
  readonly tail: string | null
}

export interface ReleaseBackup {
  /** Absolute path on `host` of the record. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
  readonly durationMs: number
}

/** One run of the release steps, as it is kept in the table `punctual_releases` or the file `releases.jsonl`. */
export interface ReleaseRecord {
  readonly id: string
  readonly app: string
  readonly version: string
  readonly host: string
  readonly pid: number
  /** ISO 8601. */
  readonly startedAt: string
  readonly endedAt: string | null
  /**
   * - `running`, `done`, `failed`; `aborted`: it was told to stop, or lost its lock.
   * - `interrupted`: whoever ran it was killed; found out by the next.
   * - `rolled-back`: done, and undone later by `punctual release --rollback`.
   */
  readonly outcome: 'running' | 'done' | 'failed' | 'aborted' | 'interrupted' | 'rolled-back'
  readonly steps: readonly ReleaseStepRecord[]
  readonly backup: ReleaseBackup | null
  /** Whether the back-up has been restored. */
  readonly restored: boolean
  /** Why it failed. */
  readonly why: string | null
}

/** What `/status` says of releases under `release`; null where the app has none. */
export interface ReleaseStatus {
  /** `skipped`: somebody had done this version already. */
  readonly state: 'running' | 'done' | 'skipped' | 'failed'
  /** The generation it was run for. */
  readonly generation: number
  readonly version: string | null
  /** ISO 8601: since when it is in this state. */
  readonly since: string
  /** What it is doing, or how it ended, in words. */
  readonly told: string
  /** The run this is about; null until it has begun. */
  readonly record: ReleaseRecord | null
}
