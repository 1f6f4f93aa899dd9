import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Database } from './schema.ts'

export interface PoolSettings {
  /** `postgres://…` */
  readonly url: string
  /** Most connections at a time, for one process. Default 10. */
  readonly max?: number
  /** What PostgreSQL calls us in `pg_stat_activity`. Default `incidents`. */
  readonly name?: string
  /** The database itself ends a statement after this many milliseconds. Default 30,000. */
  readonly statementTimeout?: number
}

/** A pool for the release and for tests; the app's own are guarded, or meant to be without limits. Whoever opens it ends it. */
export function openPool(settings: PoolSettings): pg.Pool {
  const pool = new pg.Pool({
    connectionString: settings.url,
    max: settings.max ?? 10,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 600_000,
    statement_timeout: settings.statementTimeout ?? 30_000,
    application_name: settings.name ?? 'incidents',
  })
  // Unheard, the end of an idle connection would end the process. The pool opens another at need.
  pool.on('error', () => {})
  return pool
}

/** Typed queries over the pool. Needs no closing of its own: ending the pool is enough. */
export function openDatabase(pool: pg.Pool): Kysely<Database> {
  return new Kysely<Database>({ dialect: new PostgresDialect({ pool }) })
}
