import pg from 'pg'
import { guardPool, type PoolEvent } from '../punctual.ts'

export interface GuardedPoolSettings {
  /** `postgres://…` */
  readonly url: string
  /** Maximum connections of one process. Default 10. */
  readonly max?: number
  /** Its name in the log and, after `incidents `, in `pg_stat_activity`. Default `after`. */
  readonly name?: string
  /** Called for every event of the pool that is worth logging. */
  readonly onEvent: (event: PoolEvent) => void
}

/**
 * Opens a guarded pool: 10 s for a query, as in the second incident; operations set their own
 * timeouts. The caller ends it.
 */
export function openGuardedPool({ url, max = 10, name = 'after', onEvent }: GuardedPoolSettings): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    idleTimeoutMillis: 600_000,
    application_name: `incidents ${name}`,
  })
  return guardPool(name, pool, { queryTimeout: '10s', onEvent })
}
