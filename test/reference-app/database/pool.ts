import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Database } from './schema.ts'

export interface PoolSettings {
  /** `postgres://…` */
  readonly url: string
  /** Maximum connections of one process. Default 10. */
  readonly max?: number
  /** Our name in `pg_stat_activity`. Default `incidents`. */
  readonly name?: string
  /** `statement_timeout` in milliseconds. Default 30,000. */
  readonly statementTimeout?: number
}

/**
 * Opens a pool for the release and for tests; the app's own pools are guarded, or without timeouts
 * on purpose. The caller ends it.
 */
export function openPool(settings: PoolSettings): pg.Pool {
  const pool = new pg.Pool({
    connectionString: settings.url,
    max: settings.max ?? 10,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 600_000,
    statement_timeout: settings.statementTimeout ?? 30_000,
    application_name: settings.name ?? 'incidents',
  })
  // Without a listener, the end of an idle connection would end the process. The pool opens another
  // one when needed.
  pool.on('error', () => {})
  return pool
}

/** Typed queries over the pool. Ending the pool is enough to close it. */
export function openDatabase(pool: pg.Pool): Kysely<Database> {
  return new Kysely<Database>({ dialect: new PostgresDialect({ pool }) })
}
