/** How one step of a release ended. */
export interface ReleaseStepRecord {
  readonly name: string
  /**
   * - `done`; `already-done`: a transactional step that an interrupted run of the same version had committed.
   * - `failed`: it said so. `expired`: it was ended at its limit. `aborted`: it was ended because the lock was lost, or everything stops.
   */
  readonly outcome: 'done' | 'already-done' | 'failed' | 'timed-out' | 'aborted'
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

/** Who has the release lock, as far as that can be seen. */
export interface LockHolder {
  /** Null where a pooler or the app's own settings hide it. */
  readonly host: string | null
  /** Of the process that releases. */
  readonly pid: number | null
  /** Of the server's process for its session, where the lock is PostgreSQL's. */
  readonly serverPid: number | null
  /** ISO 8601: since when it has the lock; on PostgreSQL, since when it is connected. */
  readonly since: string | null
}

/** Why a release did not succeed, for programs. The message of the error and `why` of the record say the same in words. */
export type ReleaseFailure = {
  /** What was being done. */
  readonly phase: 'config' | 'lock' | 'backup' | 'step' | 'record' | 'rollback' | 'restore' | 'process'
  /**
   * - of `config`: `settings-invalid`
   * - of `lock`: `held` by another for too long, `lost`, `not-opened`
   * - of any that needs a database: `unreachable`, `pg-missing`, `sessions-left` by an earlier release that will not end
   * - of `backup` and `restore`: `tools-missing`, `disk-full`, `command-failed`, `unreadable`, `altered`, `missing`
   * - of `step` and `rollback`: `failed`, `timed-out`, `aborted`, `unsettled` (its function waits for nothing and has not settled)
   * - of `record`: `not-written`; of `rollback` and `restore`: `marks-not-deleted`
   * - of `rollback` and `restore`, refused: `nothing-to-undo`, `no-rollback`, `no-backup`
   * - of any: `timed-out`, `stopped`, `parent-exited`, `exited` (the process of the release itself), `unexpected`
   */
  readonly reason:
    | 'settings-invalid'
    | 'held'
    | 'lost'
    | 'not-opened'
    | 'unreachable'
    | 'pg-missing'
    | 'sessions-left'
    | 'tools-missing'
    | 'disk-full'
    | 'command-failed'
    | 'unreadable'
    | 'altered'
    | 'missing'
    | 'failed'
    | 'timed-out'
    | 'aborted'
    | 'unsettled'
    | 'not-written'
    | 'marks-not-deleted'
    | 'nothing-to-undo'
    | 'no-rollback'
    | 'no-backup'
    | 'stopped'
    | 'parent-exited'
    | 'exited'
    | 'unexpected'
  /** The step that failed, or after which something did. */
  readonly step?: string
  /** The steps that stand in the way of a roll-back. */
  readonly steps?: readonly string[]
  /** Where the settings are that do not apply: `punctual.config.ts: release[0].limit`. */
  readonly sources?: readonly string[]
  /** Of the command or the process that failed; null where a signal ended it. */
  readonly exitCode?: number | null
  readonly signal?: string | null
  /** `code` of the error that was thrown: `57P01`, `ENOSPC`. */
  readonly errorCode?: string
  /** Why a step was aborted. */
  readonly cause?: ReleaseFailure
  /** Who has the lock; null where that cannot be seen. */
  readonly holder?: LockHolder | null
  /** The file in question: of the lock, of a back-up. */
  readonly path?: string
  /** Of a disk that is too full, in bytes. */
  readonly free?: number
  readonly needed?: number
  /** Major version of the server for which there is no `pg_dump`, and those of the programs that were found. */
  readonly serverMajor?: number
  readonly foundMajors?: readonly number[]
  /** True: a transactional step failed after its COMMIT, and was undone with the rest. */
  readonly committed?: boolean
  /** What was undone after it. */
  readonly undo?: ReleaseUndo
}

/** What was undone after a failure. */
export type ReleaseUndo = {
  /** The steps that were rolled back, in that order. */
  readonly rolledBack: readonly string[]
  /** The steps that stay applied, because they have no roll-back. */
  readonly kept: readonly string[]
  /** Whether the back-up was restored instead. */
  readonly restored: boolean
  /** Why it was not, where the config file asks for it. */
  readonly notRestored?: {
    readonly reason: 'old-generation-serving' | 'database-in-use' | 'users-unknown'
    /** How many others use the database. */
    readonly sessions?: number
    readonly errorCode?: string
  }
  /** Why nothing was undone at all. */
  readonly skipped?: ReleaseFailure['reason']
  /** What failed on the way. */
  readonly failure?: ReleaseFailure
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
  /** Why it failed, in words. */
  readonly why: string | null
  /** The same in fields; null unless it failed or was aborted. */
  readonly failure: ReleaseFailure | null
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
  /** Why it failed, in fields; null unless it did. */
  readonly failure: ReleaseFailure | null
  /** The run this is about; null until it has begun. */
  readonly record: ReleaseRecord | null
}
