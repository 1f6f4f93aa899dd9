/** Since the database was opened. */
export interface SqliteCounts {
  /** Calls and transactions that timed out. */
  readonly timedOut: number
  /** Calls and transactions given up for another reason: the client disconnected, a shutdown. */
  readonly aborted: number
  /** Retries because the file was locked. */
  readonly busyRetries: number
  /** Threads that were replaced because they were abandoned or crashed. */
  readonly replaced: number
}

/** The writer, or the readers, of a database. */
export interface SqlitePoolHealth {
  /** Threads with an open connection. */
  readonly threads: number
  /** Threads that work, or belong to a transaction. */
  readonly busy: number
  /** Calls that wait for a thread. */
  readonly queued: number
  /** Milliseconds; 0 when no call waits. */
  readonly longestWait: number
}

/** State of a database at one moment. */
export interface SqliteHealth {
  readonly name: string
  /** Absolute. */
  readonly path: string
  /**
   * CRITICAL: a call has waited for more than 1 s, or the data in memory is lost. WARNING: a thread
   * that could not be cancelled still runs.
   */
  readonly level: 'HEALTHY' | 'WARNING' | 'CRITICAL'
  /** `wal`, unless the file system does not support it; empty until the file has been opened. */
  readonly journalMode: string
  readonly writer: SqlitePoolHealth
  readonly readers: SqlitePoolHealth
  /** Abandoned threads that have not exited yet. */
  readonly abandoned: number
  readonly counts: SqliteCounts
}

/** Milliseconds. */
const CRITICAL_WAIT = 1_000

export function sqliteLevel(longestWait: number, abandoned: number, lost: boolean): SqliteHealth['level'] {
  if (lost || longestWait > CRITICAL_WAIT) return 'CRITICAL'
  return abandoned > 0 ? 'WARNING' : 'HEALTHY'
}

export type SqliteEventType =
  /** A query could not be cancelled; its thread runs on without being waited for. */
  | 'thread-abandoned'
  /** A thread exited unexpectedly. */
  | 'thread-crashed'
  /** The file is not in WAL mode, so that each write blocks reads. */
  | 'no-wal'
  /** A transaction was open beyond its timeout. */
  | 'transaction-timeout'

/** Something that happened to a database and is worth a line in the log. */
export interface SqliteEvent {
  readonly type: SqliteEventType
  readonly severity: 'info' | 'warn' | 'error'
  /** Name of the database. */
  readonly database: string
  /** A sentence for the log. */
  readonly message: string
  /**
   * Facts for programs. `thread-abandoned`: `role`, `reason`, `replaced`, `abandoned` (how many
   * there are). `thread-crashed`: `role`, `replaced`. `no-wal`: `journalMode`.
   * `transaction-timeout`: `operation`.
   */
  readonly details: Readonly<Record<string, unknown>>
}
