/** What libpq's programs are told of a database. The password goes by the environment: a command line can be read by everybody on the machine. */
export interface LibpqAddress {
  /** For `--dbname`. */
  readonly url: string
  readonly env: Readonly<Record<string, string>>
}

/** Words of the query that `pg` knows and libpq refuses. */
const NOT_LIBPQ = ['ssl', 'uselibpqcompat', 'pool', 'max']

export function libpqAddress(written: string): LibpqAddress {
  const url = new URL(written)
  const password = decodeURIComponent(url.password)
  url.password = ''
  for (const name of NOT_LIBPQ) url.searchParams.delete(name)
  // Of `pg` alone: TLS without looking at the certificate, which is what `require` means to libpq.
  if (url.searchParams.get('sslmode') === 'no-verify') url.searchParams.set('sslmode', 'require')
  return { url: url.href, env: { PGCONNECT_TIMEOUT: '10', ...(password === '' ? {} : { PGPASSWORD: password }) } }
}
