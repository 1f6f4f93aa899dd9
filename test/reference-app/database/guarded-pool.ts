import pg from 'pg'
import { guardPool, type PoolEvent } from '../punctual.ts'

export interface GuardedPoolSettings {
  /** `postgres://…` */
  readonly url: string
  /** Most connections at a time, for one process. Default 10. */
  readonly max?: number
  /** What it is called in the log, and after `incidents ` in `pg_stat_activity`. Default `after`. */
  readonly name?: string
  /** Told of everything about the pool that is worth a line. */
  readonly onEvent: (event: PoolEvent) => void
}

/** A pool with limits: 10 s for a query in general, as the second incident asks; operations name their own. Whoever opens it ends it. */
export function openGuardedPool({ url, max = 10, name = 'after', onEvent }: GuardedPoolSettings): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    idleTimeoutMillis: 600_000,
    application_name: `incidents ${name}`,
  })
  return guardPool(name, pool, { queryTimeout: '10s', onEvent })
}
