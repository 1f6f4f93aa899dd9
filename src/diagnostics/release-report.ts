/** How one step of a release ended. */
export interface ReleaseStepRecord {
  readonly name: string
  /**
   * - `already-done`: a transactional step that an interrupted run of the same version committed.
   * - `failed`: the command or function failed. `timed-out`: it was killed at its timeout.
   * - `aborted`: it was killed because the lock was lost or Punctual stopped.
   */
  readonly outcome: 'done' | 'already-done' | 'failed' | 'timed-out' | 'aborted'
  readonly durationMs: number
  /** More than one if a database lock could not be acquired at once. */
  readonly attempts: number
  /** How its rollback ended; null if none was tried. */
  readonly rollback: 'done' | 'failed' | null
  /** The end of its output if it failed; otherwise null. */
  readonly tail: string | null
}

export interface ReleaseBackup {
  /** Absolute path on the `host` of the record. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
  readonly durationMs: number
}

/** The process that holds the release lock, as far as that can be seen. */
export interface LockHolder {
  /** Null if a pooler or the app's own settings hide it. */
  readonly host: string | null
  /** Pid of the release process. */
  readonly pid: number | null
  /** Pid of its server process, if the lock is in PostgreSQL. */
  readonly serverPid: number | null
  /** ISO 8601: when it acquired the lock; in PostgreSQL, when it connected. */
  readonly since: string | null
}

/** Why a release failed. The message of the error and `why` of the record say it in words. */
export type ReleaseFailure = {
  /** What was being done. */
  readonly phase: 'config' | 'lock' | 'backup' | 'step' | 'record' | 'rollback' | 'restore' | 'process'
  readonly reason: // Of `config`.
    | 'settings-invalid'
    // Of `lock`: held by another process for too long, lost, or its file cannot be opened.
    | 'held'
    | 'lost'
    | 'not-opened'
    // Of any phase that needs a database; `sessions-left` by an earlier release.
    | 'unreachable'
    | 'pg-missing'
    | 'sessions-left'
    // Of `backup` and `restore`.
    | 'tools-missing'
    | 'service-file'
    | 'disk-full'
    | 'command-failed'
    | 'unreadable'
    | 'altered'
    | 'missing'
    // Of `step` and `rollback`; `unsettled`: its process had nothing left to do, but its promise
    // was pending; `invalid-index`: it left an index that was not built completely.
    | 'failed'
    | 'aborted'
    | 'unsettled'
    | 'invalid-index'
    // Of `record`, and of the marks of steps after `rollback` and `restore`.
    | 'not-written'
    | 'marks-not-deleted'
    // `rollback` and `restore` were refused.
    | 'nothing-to-undo'
    | 'no-rollback'
    | 'no-backup'
    // Of any phase; `exited`: the release process itself.
    | 'timed-out'
    | 'stopped'
    | 'parent-exited'
    | 'exited'
    | 'unexpected'
  /** The step that failed, or the last one before the failure. */
  readonly step?: string
  /** The steps without a rollback. */
  readonly steps?: readonly string[]
  /** The invalid indexes, as they are written in SQL. */
  readonly indexes?: readonly string[]
  /** The invalid settings: `punctual.config.ts: release[0].timeout`. */
  readonly sources?: readonly string[]
  /** Of the command or process that failed; null if a signal ended it. */
  readonly exitCode?: number | null
  readonly signal?: string | null
  /** `code` of the underlying error: `57P01`, `ENOSPC`. */
  readonly errorCode?: string
  /** Why a step was aborted. */
  readonly cause?: ReleaseFailure
  /** The holder of the lock; null if unknown. */
  readonly holder?: LockHolder | null
  /** The file of the lock or of the backup. */
  readonly path?: string
  /** Bytes of disk space. */
  readonly free?: number
  readonly needed?: number
  /** Major version of the server, and of each `pg_dump` that was found. */
  readonly serverMajor?: number
  readonly foundMajors?: readonly number[]
  /** True if a transactional step failed after its COMMIT; it was undone with the others. */
  readonly committed?: boolean
  /** What was undone after the failure. */
  readonly undo?: ReleaseUndo
}

/** What was undone after a failure. */
export type ReleaseUndo = {
  /** The steps that were rolled back, in order. */
  readonly rolledBack: readonly string[]
  /** The steps that stay applied because they have no rollback. */
  readonly kept: readonly string[]
  /** Whether the backup was restored instead. */
  readonly restored: boolean
  /** Why the backup was not restored although `restoreOnFailure` is set. */
  readonly notRestored?: {
    readonly reason: 'old-generation-serving' | 'database-in-use' | 'users-unknown'
    /** Other sessions that use the database. */
    readonly sessions?: number
    readonly errorCode?: string
  }
  /** Why nothing was undone. */
  readonly skipped?: ReleaseFailure['reason']
  /** What failed while undoing. */
  readonly failure?: ReleaseFailure
}

/**
 * One run of the release steps, as stored in the table `punctual_releases` or the file
 * `releases.jsonl`.
 */
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
   * - `aborted`: it was stopped, or lost its lock.
   * - `interrupted`: its process was killed; set by the next release.
   * - `rolled-back`: undone later by `punctual release --rollback` or `--restore`.
   */
  readonly outcome: 'running' | 'done' | 'failed' | 'aborted' | 'interrupted' | 'rolled-back'
  readonly steps: readonly ReleaseStepRecord[]
  readonly backup: ReleaseBackup | null
  /** Whether the backup was restored. */
  readonly restored: boolean
  /** Why it failed, for a person. */
  readonly why: string | null
  /** Why it failed or was aborted; otherwise null. */
  readonly failure: ReleaseFailure | null
}

/** `/status.release`; null if the app has no release steps. */
export interface ReleaseStatus {
  /** `skipped`: this version was already released. */
  readonly state: 'running' | 'done' | 'skipped' | 'failed'
  /** The generation it ran for. */
  readonly generation: number
  readonly version: string | null
  /** ISO 8601: when it entered this state. */
  readonly since: string
  /** What it is doing or how it ended, for a person. */
  readonly message: string
  /** Why it failed; otherwise null. */
  readonly failure: ReleaseFailure | null
  /** The run; null until it starts. */
  readonly record: ReleaseRecord | null
}
