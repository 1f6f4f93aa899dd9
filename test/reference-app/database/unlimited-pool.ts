import pg from 'pg'

/** A pool as it was in the second incident, with `pg`'s own defaults: no limit for a connection, none for a query. Whoever opens it ends it. */
export function openUnlimitedPool({ url, max = 10 }: { readonly url: string; readonly max?: number }): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max, application_name: 'incidents before' })
  // Unheard, the end of an idle connection would end the process. The pool opens another at need.
  pool.on('error', () => {})
  return pool
}
