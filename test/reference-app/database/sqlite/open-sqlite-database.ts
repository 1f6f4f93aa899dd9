import { Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'
import { openSqlite, type SqliteOptions, sqliteDialect } from '../../punctual.ts'
import type { SqliteTables } from './tables.ts'

/** Typed queries over a file that only threads touch: 10 s for a query unless the options, or the operation, say otherwise. Destroying it closes the file. */
export function openSqliteDatabase(path: string, options: SqliteOptions = {}): Kysely<SqliteTables> {
  // One thread reads: look-ups by key are short.
  const database = openSqlite(path, { readers: 1, queryTimeout: '10s', transactionTimeout: '10s', ...options })
  return new Kysely({ dialect: sqliteDialect(database, { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler }) })
}
