import pg from 'pg'

/**
 * Opens the pool of the second incident, with the defaults of `pg`: no timeout for connections and
 * queries. The caller ends it.
 */
export function openUnlimitedPool({ url, max = 10 }: { readonly url: string; readonly max?: number }): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max, application_name: 'incidents before' })
  // Without a listener, the end of an idle connection would end the process. The pool opens another
  // one when needed.
  pool.on('error', () => {})
  return pool
}
