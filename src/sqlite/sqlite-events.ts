/**
 * What a database has to say. `abandoned`: a query could not be ended, its thread goes on by itself. `crashed`: a thread died. `no-wal`: the file
 * is not in WAL mode, so that a write keeps reads waiting. `transaction-expired`: a transaction was open beyond its limit.
 */
export type SqliteEventType = 'abandoned' | 'crashed' | 'no-wal' | 'transaction-expired'

export interface SqliteEvent {
  readonly type: SqliteEventType
  readonly severity: 'info' | 'warn' | 'error'
  /** Name of the database. */
  readonly database: string
  /** A whole sentence, ready for the log. */
  readonly message: string
  /**
   * Facts for programs. `abandoned`: `role`, `reason`, `replaced` (whether another thread takes its place), `abandoned` (how many there are).
   * `crashed`: `role`, `replaced`. `no-wal`: `journalMode`. `transaction-expired`: `operation`.
   */
  readonly details: Readonly<Record<string, unknown>>
}

/** Standard error: for an app that has not said where its log is. */
export function tellConsole(event: SqliteEvent): void {
  console[event.severity](event.message)
}
