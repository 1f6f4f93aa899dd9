/** Since the database was opened. */
export interface SqliteCounts {
  /** Calls and transactions that ran out of their limit. */
  readonly timedOut: number
  /** Calls and transactions that were given up for another reason: the client went away, a shutdown. */
  readonly aborted: number
  /** How often a locked file was asked again. */
  readonly busyRetries: number
  /** Threads that were replaced: given up, or dead. */
  readonly replaced: number
}

export interface LaneHealth {
  /** Threads that are ready. */
  readonly threads: number
  /** Of these, at work or held by a transaction. */
  readonly busy: number
  /** Who waits for one. */
  readonly queued: number
  /** Milliseconds; 0 when nobody waits. */
  readonly longestWait: number
}

/** A database at one moment. */
export interface SqliteHealth {
  readonly name: string
  /** Absolute. */
  readonly path: string
  /** CRITICAL: somebody has waited for more than 1 s, or the data in memory is lost. WARNING: a thread that could not be ended goes on. */
  readonly level: 'HEALTHY' | 'WARNING' | 'CRITICAL'
  /** `wal`, unless the file system does not support it; empty until the file has been opened. */
  readonly journalMode: string
  readonly writer: LaneHealth
  readonly readers: LaneHealth
  /** Threads that were given up and have not ended yet. */
  readonly abandoned: number
  readonly counts: SqliteCounts
}

/** Milliseconds. */
const LONGEST_PATIENCE = 1_000

export function sqliteLevel(longestWait: number, abandoned: number, lost: boolean): SqliteHealth['level'] {
  if (lost || longestWait > LONGEST_PATIENCE) return 'CRITICAL'
  return abandoned > 0 ? 'WARNING' : 'HEALTHY'
}
