import { SqliteDatabase } from './sqlite-database.ts'
import { SqliteEngine } from './sqlite-engine.ts'
import type { SqliteHealth } from './sqlite-health.ts'
import { readSqliteOptions, type SqliteOptions } from './sqlite-options.ts'

/**
 * Opens a SQLite database in threads of its own: one that writes, and some that read. The file is created if it is missing, and put into WAL mode.
 *
 * Returns at once; the first calls wait for the file. What prevents opening it (no such directory, no database, a lock) is their error, and the next call
 * tries again.
 *
 * @param file a path, or a `file:` URL without parameters; `:memory:` is a database that lives as long as its thread, without readers
 * @throws InvalidOptionError for an option or a file that is invalid
 */
export function openSqlite(file: string | URL, options: SqliteOptions = {}): SqliteDatabase {
  return new SqliteDatabase(new SqliteEngine(readSqliteOptions(file, options)))
}

/** Queues, threads and counts of a database that `openSqlite` opened. */
export function sqliteHealth(database: SqliteDatabase): SqliteHealth {
  return SqliteDatabase.engineOf(database).health()
}
