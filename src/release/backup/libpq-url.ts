import { sessionUrl } from '../session-url.ts'

/** What libpq's programs are told of a database. The password goes by the environment: a command line can be read by everybody on the machine. */
export interface LibpqAddress {
  /** For `--dbname`. */
  readonly url: string
  readonly env: Readonly<Record<string, string>>
  /** For `PGOPTIONS`, before what is to be said there besides. */
  readonly options: string
}

/** Words of the query that `pg` knows and libpq refuses. */
const NOT_LIBPQ = ['ssl', 'uselibpqcompat', 'pool', 'max']

export function libpqAddress(written: string): LibpqAddress {
  const session = sessionUrl(written, ...NOT_LIBPQ)
  const url = new URL(session.url)
  const password = decodeURIComponent(url.password)
  url.password = ''
  // Of `pg` alone: TLS without looking at the certificate, which is what `require` means to libpq.
  if (url.searchParams.get('sslmode') === 'no-verify') url.searchParams.set('sslmode', 'require')
  const env = { PGCONNECT_TIMEOUT: '10', ...(password === '' ? {} : { PGPASSWORD: password }) }
  return { url: url.href, env, options: session.options }
}
