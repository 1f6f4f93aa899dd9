import type { Milliseconds } from '../resilience/duration.ts'

/** The argument of a step that is a function. */
export interface ReleaseContext {
  /** Name of the step. */
  readonly name: string
  /** The version being released. */
  readonly version: string
  /** The working directory of the arbiter. */
  readonly directory: string
  /**
   * Counts from 1; higher when the step is retried because it could not acquire a database lock.
   */
  readonly attempt: number
  /**
   * Aborted when the step must end: it timed out, the release lock was lost, or Punctual is
   * stopping. The process of the step is killed two seconds later.
   */
  readonly signal: AbortSignal
  /** Writes a line to the log. */
  log(message: string): void
  /**
   * Queries the database of `releaseLock` on a connection of the step's own. A statement that waits
   * longer than `releaseTableLockTimeout` for a lock is cancelled and retried; in a `transactional`
   * step the whole function is retried. Throws if `releaseLock` is a file.
   */
  query(text: string, values?: readonly unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
}

/** A shell command, or a function. */
export type ReleaseWork = string | ((context: ReleaseContext) => unknown)

type DurationText = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** Work that runs once across all machines before a new generation serves. */
export interface ReleaseStep {
  /** Unique; shown in logs and records. */
  readonly name: string
  /** A shell command, or a function. Each runs in a process of its own. */
  readonly run: ReleaseWork
  /** When to kill the step and every process it started. Default and maximum: `releaseTimeout`. */
  readonly timeout?: DurationText
  /** Undoes the step. Runs when a later step fails, and on `punctual release --rollback`. */
  readonly rollback?: ReleaseWork
  /**
   * Runs all of a function's `context.query` calls in one transaction that also marks the step as
   * applied, so that it is applied exactly once. Default: false.
   */
  readonly transactional?: boolean
}

/** A backup of the database, made and verified before the first step. */
export interface BackupConfig {
  /** `postgres://…`, `sqlite:path` or `env:NAME`. Default: the database of `releaseLock`. */
  readonly database?: string | undefined
  /** A command that writes the backup to the file `$BACKUP_FILE`. Replaces `database`. */
  readonly command?: string
  /** A command that restores the file `$BACKUP_FILE` written by `command`. */
  readonly restoreCommand?: string
  /** Where backups are written. Default: `backups` in the state directory. */
  readonly directory?: string
  /** How many backups to keep. Default: 5. */
  readonly keep?: number
  /**
   * Directory of `pg_dump`, `pg_restore` and `psql`. Default: a version found that fits the server.
   */
  readonly tools?: string
  /**
   * Whether to restore the backup when a step fails: `true` only while no other session uses the
   * database, `'always'` regardless. Default: false.
   */
  readonly restoreOnFailure?: boolean | 'always'
}

/** The keys of the config file that are about releases. */
export interface ReleaseConfig {
  /** The steps, in order. */
  readonly release?: readonly ReleaseStep[]
  /**
   * Where the lock and the records are kept: `postgres://…` (a direct connection), `sqlite:path`,
   * `file:path`, or `env:NAME` to read one of these from a variable. Default: the database of
   * `backup`, else a file in the state directory, which only covers this machine.
   */
  readonly releaseLock?: string | undefined
  readonly backup?: BackupConfig
}

export type DatabaseAddress =
  | { readonly kind: 'postgres'; readonly url: string }
  | { readonly kind: 'sqlite' | 'file'; readonly path: string }

/** A validated step. */
export interface PlannedStep {
  readonly name: string
  readonly run: ReleaseWork
  readonly rollback: ReleaseWork | null
  /** Null: `releaseTimeout` applies. */
  readonly timeout: Milliseconds | null
  readonly transactional: boolean
}

export interface PlannedBackup {
  /** Null if a command makes the backup. */
  readonly database: DatabaseAddress | null
  readonly command: string | null
  readonly restoreCommand: string | null
  readonly directory: string
  readonly keep: number
  readonly tools: string | null
  readonly restoreOnFailure: 'never' | 'unused' | 'always'
}

export interface ReleasePlan {
  readonly steps: readonly PlannedStep[]
  readonly lock: DatabaseAddress
  readonly backup: PlannedBackup | null
}
