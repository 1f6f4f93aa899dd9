import { Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'
import { openSqlite, type SqliteOptions, sqliteDialect } from '../../punctual.ts'
import type { SqliteTables } from './tables.ts'

/**
 * Typed queries over a SQLite file, with a default timeout of 10 s. Destroying it closes the file.
 */
export function openSqliteDatabase(name: string, path: string, options: SqliteOptions = {}): Kysely<SqliteTables> {
  // One reader is enough, because lookups by key are short.
  const database = openSqlite(name, path, { readers: 1, queryTimeout: '10s', transactionTimeout: '10s', ...options })
  return new Kysely({ dialect: sqliteDialect(database, { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler }) })
}
