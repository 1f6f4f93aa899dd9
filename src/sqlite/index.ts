/** `punctual/sqlite`: SQLite in threads of its own. */
export {
  ConnectionLostError,
  DatabaseTimeoutError,
  QueryTimeoutError,
  type TimedOutBy,
} from '../database/query-errors.ts'
export { withQueryTimeout } from '../database/query-timeout.ts'
export { allowRepeatedQueries } from '../query-insight/allow-repeated-queries.ts'
export { TooManyQueriesError } from '../query-insight/query-budget-error.ts'
export { openSqlite, sqliteHealth } from './open-sqlite.ts'
export type { SqliteChanges, SqliteDatabase, SqliteQueries, SqliteTransactionOptions } from './sqlite-database.ts'
export { type KyselyParts, type KyselySqliteDialect, sqliteDialect } from './sqlite-dialect.ts'
export { type CarriedOut, SqliteError, TransactionTimeoutError, WriteTimeoutError } from './sqlite-errors.ts'
export type { SqliteEvent, SqliteEventType } from './sqlite-events.ts'
export type { LaneHealth, SqliteCounts, SqliteHealth } from './sqlite-health.ts'
export type { SqliteOptions } from './sqlite-options.ts'
export type { SqliteInput, SqliteParameters, SqliteRow, SqliteValue } from './sqlite-values.ts'
export type { Synchronous, TransactionMode } from './thread-protocol.ts'
