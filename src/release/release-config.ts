import type { Milliseconds } from '../resilience/duration.ts'

/** What a step is given when it is a function. */
export interface ReleaseContext {
  /** Of the step. */
  readonly name: string
  /** The version that is released. */
  readonly version: string
  /** The working directory of the arbiter. */
  readonly directory: string
  /** 1, and more where it is tried again because a lock of the database was not to be had. */
  readonly attempt: number
  /** Aborted when the step is to end: its limit has passed, the release lock was lost, or everything stops. Two seconds later its process is killed. */
  readonly signal: AbortSignal
  /** A line for the log. */
  log(message: string): void
  /**
   * Asks the database of `releaseLock`, over a connection of the step's own. No statement waits for a lock longer than `releaseTableLockTimeout`: it
   * gives way and is tried again, the whole function where the step is `transactional`. Not to be had with a file lock.
   */
  query(text: string, values?: readonly unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
}

export type ReleaseWork = string | ((context: ReleaseContext) => unknown)

type DurationText = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** What must run once, over all machines, before a new generation serves. */
export interface ReleaseStep {
  /** For people and records; unique. */
  readonly name: string
  /** A command for the shell, or a function of the config file. Either runs in a process of its own. */
  readonly run: ReleaseWork
  /** At the limit it is ended with everything it has started. Default and most: `releaseTimeout`. */
  readonly timeout?: DurationText
  /** Undoes the step: run when a later step fails, and by `punctual release --rollback`. */
  readonly rollback?: ReleaseWork
  /** For functions: all of `context.query` is one transaction, in which the step is also marked as done. So it is applied exactly once. */
  readonly transactional?: boolean
}

/** A copy of the database, made and read back before the first step. */
export interface BackupConfig {
  /** `postgres://…`, `sqlite:path` or `env:NAME`. Default: that of `releaseLock`. */
  readonly database?: string | undefined
  /** A command of your own instead: it writes the file `$BACKUP_FILE`. */
  readonly command?: string
  /** Restores what `command` wrote from `$BACKUP_FILE`. */
  readonly restoreCommand?: string
  /** Where to. Default: `backups` in the state directory. */
  readonly directory?: string
  /** How many are kept. Default: 5. */
  readonly keep?: number
  /** Directory of `pg_dump`, `pg_restore` and `psql`. Default: those found that fit the server. */
  readonly tools?: string
  /** Restore it when a step fails: `true` where nobody else uses the database, `'always'` whoever does. Default: false. */
  readonly restoreOnFailure?: boolean | 'always'
}

/** The part of the config file that is about releases. */
export interface ReleaseConfig {
  readonly release?: readonly ReleaseStep[]
  /**
   * Where the lock and the record are: `postgres://…` (a direct connection), `sqlite:path`, `file:path`, or `env:NAME` for one of these from a
   * variable. Default: the database of `backup`, else a file in the state directory, which only knows of this machine.
   */
  readonly releaseLock?: string | undefined
  readonly backup?: BackupConfig
}

export type DatabaseAddress =
  | { readonly kind: 'postgres'; readonly url: string }
  | { readonly kind: 'sqlite' | 'file'; readonly path: string }

/** A step as it was read. */
export interface PlannedStep {
  readonly name: string
  readonly run: ReleaseWork
  readonly rollback: ReleaseWork | null
  /** Null: what `releaseTimeout` says. */
  readonly timeout: Milliseconds | null
  readonly transactional: boolean
}

export interface PlannedBackup {
  /** Null where a command makes it. */
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
