import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sessionUrl } from '../postgres-session.ts'
import { ReleaseError } from '../release-error.ts'

/**
 * A database address for libpq programs. Its secrets are in the environment and in a file for this
 * user only: every user can read a command line.
 */
export interface LibpqAddress {
  /** For `--dbname`. */
  readonly url: string
  readonly env: Readonly<Record<string, string>>
  /** For the start of `PGOPTIONS`. */
  readonly options: string
  /** Lines of a service file: secrets for which libpq has no variable. */
  readonly service: readonly string[]
}

/** Query parameters that `pg` accepts and libpq rejects. */
const NOT_LIBPQ = ['ssl', 'uselibpqcompat', 'pool', 'max']
/** Secret parameters for which libpq has no environment variable. */
const SECRETS = ['sslpassword', 'oauth_client_secret', 'scram_client_key', 'scram_server_key']
const SERVICE = 'punctual_release'

export function libpqAddress(text: string): LibpqAddress {
  const session = sessionUrl(text, ...NOT_LIBPQ)
  const url = new URL(session.url)
  const take = (name: string): string => {
    const value = url.searchParams.get(name) ?? ''
    url.searchParams.delete(name)
    return value
  }
  // As in libpq, the parameter is preferred to the password before the host.
  const password = take('password') || decodeURIComponent(url.password)
  url.password = ''
  const service = SECRETS.flatMap((name) => {
    const value = take(name)
    return value === '' ? [] : [`${name}=${value}`]
  })
  // Only `pg` has `no-verify`, TLS without verification; libpq calls that `require`.
  if (url.searchParams.get('sslmode') === 'no-verify') url.searchParams.set('sslmode', 'require')
  // libpq does not decode a plus as a space.
  url.search = url.search.replaceAll('+', '%20')
  const env = { PGCONNECT_TIMEOUT: '10', ...(password === '' ? {} : { PGPASSWORD: password }) }
  return { url: url.href, env, options: session.options, service }
}

/** Calls `work` with the address; its service file, if there is one, exists meanwhile. */
export async function withLibpqAddress<Result>(
  text: string,
  work: (address: LibpqAddress) => Promise<Result>,
): Promise<Result> {
  const address = libpqAddress(text)
  const { service, env } = address
  if (service.length === 0) return await work(address)
  const named = new URL(address.url).searchParams.get('service') ?? process.env.PGSERVICE ?? ''
  if (named !== '' || service.some((line) => line.includes('\n'))) {
    const names = service.map((line) => line.slice(0, line.indexOf('='))).join(', ')
    throw new ReleaseError(
      `${names} cannot be passed on besides the service ${JSON.stringify(named)}; write it to the service file`,
      { phase: 'backup', reason: 'service-file' },
    )
  }
  const directory = await mkdtemp(join(tmpdir(), 'punctual-release-'))
  try {
    const path = join(directory, 'pg_service.conf')
    await writeFile(path, `[${SERVICE}]\n${service.join('\n')}\n`, { mode: 0o600, flag: 'wx' })
    return await work({ ...address, env: { ...env, PGSERVICE: SERVICE, PGSERVICEFILE: path } })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
