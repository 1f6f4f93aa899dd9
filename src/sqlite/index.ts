/** `punctual/sqlite`: SQLite in worker threads. */
export {
  ConnectionLostError,
  DatabaseTimeoutError,
  QueryTimeoutError,
  type TimedOutBy,
} from '../database/query-errors.ts'
export { withQueryTimeout } from '../database/query-timeout.ts'
export { allowRepeatedQueries } from '../query-insight/allow-repeated-queries.ts'
export { TooManyQueriesError } from '../query-insight/counted-query.ts'
export {
  openSqlite,
  type SqliteChanges,
  type SqliteDatabase,
  type SqliteQueries,
  type SqliteTransactionOptions,
  sqliteHealth,
} from './sqlite-database.ts'
export { type KyselyParts, type KyselySqliteDialect, sqliteDialect } from './sqlite-dialect.ts'
export { type Committed, SqliteError, TransactionTimeoutError, WriteTimeoutError } from './sqlite-errors.ts'
export type {
  SqliteCounts,
  SqliteEvent,
  SqliteEventType,
  SqliteHealth,
  SqlitePoolHealth,
} from './sqlite-health.ts'
export type { SqliteOptions } from './sqlite-options.ts'
export type { SqliteInput, SqliteParameters, SqliteRow, SqliteValue } from './sqlite-values.ts'
export type { Synchronous, TransactionMode } from './thread-protocol.ts'
