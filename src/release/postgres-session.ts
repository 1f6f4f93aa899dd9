import { createRequire } from 'node:module'
import { ms } from '../resilience/duration.ts'
import { waitAtMost } from '../resilience/wait-at-most.ts'
import { failureOf, ReleaseError } from './release-error.ts'

/** The part of the app's own `pg` client that is used. Punctual does not depend on `pg`. */
export interface PgClient {
  connect(): Promise<unknown>
  query(text: string, values?: readonly unknown[]): Promise<PgResult>
  end(): Promise<void>
  /** Internal, but present in every version of `pg`. */
  readonly connection?: { readonly stream?: { destroy(): void } }
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
}

interface PgResult {
  readonly rows: readonly Record<string, unknown>[]
  readonly rowCount: number | null
}

export interface PgSession {
  readonly url: string
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string
  /** Milliseconds for one query. Default: none. */
  readonly queryTimeout?: number
  /**
   * Milliseconds that a statement waits for a lock. Set by a statement, because PgBouncer, Neon and
   * RDS Proxy refuse options at the start of a connection. Default: that of the server.
   */
  readonly lockTimeout?: number
}

const CONNECT_TIMEOUT = 10_000
/**
 * Before the kernel sends a TCP keep-alive: routers silently drop connections that are idle for
 * minutes.
 */
const KEEP_ALIVE_DELAY = 30_000
const END_TIMEOUT = ms(2_000)
/** As the process of a step has it at the end of `PGOPTIONS`. */
const LOCK_TIMEOUT_OPTION = / ?-c lock_timeout=\d+$/

type ClientClass = new (options: Readonly<Record<string, unknown>>) => PgClient

/**
 * Opens a session with the app's own `pg`, resolved from the config file.
 *
 * @throws ReleaseError if the project has no `pg`, or the server cannot be reached within 10 s
 */
export async function openSession(configFile: string, session: PgSession): Promise<PgClient> {
  const Client = clientClass(configFile)
  const { applicationName, queryTimeout, lockTimeout } = session
  const { url, options } = sessionUrl(session.url)
  const client = withoutStartOptions(
    lockTimeout !== undefined,
    () =>
      new Client({
        connectionString: url,
        application_name: applicationName,
        connectionTimeoutMillis: CONNECT_TIMEOUT,
        keepAlive: true,
        keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY,
        ...(queryTimeout === undefined ? {} : { query_timeout: queryTimeout }),
        ...(options === '' ? {} : { options }),
      }),
  )
  // Without a listener, a connection that breaks while idle would end the process.
  client.on('error', () => {})
  try {
    await client.connect()
    if (lockTimeout !== undefined) await client.query(setLockTimeout(lockTimeout))
  } catch (error) {
    throw unreachable(url, error)
  }
  return client
}

/**
 * `pg` reads `PGOPTIONS`, in which the process of a step has a lock timeout for its own
 * connections.
 */
function withoutStartOptions<Value>(applies: boolean, create: () => Value): Value {
  const { PGOPTIONS: given } = process.env
  const own = given?.replace(LOCK_TIMEOUT_OPTION, '')
  if (!applies || given === undefined || own === given) return create()
  if (own === '') delete process.env.PGOPTIONS
  else process.env.PGOPTIONS = own
  try {
    return create()
  } finally {
    process.env.PGOPTIONS = given
  }
}

/** @param timeout milliseconds; infinite for none */
export function setLockTimeout(timeout: number): string {
  return `set lock_timeout = ${Number.isFinite(timeout) ? Math.round(timeout) : 0}`
}

/**
 * Ends a session, within two seconds: on a broken connection the kernel would wait for a reply for
 * a
 * quarter of an hour. Never rejects.
 */
export async function endSession(client: PgClient): Promise<void> {
  const ended = client.end().catch(() => {})
  await waitAtMost(END_TIMEOUT, ended, () => client.connection?.stream?.destroy())
}

/**
 * Returns whether an error means that the session is lost: the driver's own errors, and 57P01 to
 * 57P05 of the server.
 */
export function isLostSession(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || !('severity' in error)) return true
  return 'code' in error && String(error.code).startsWith('57P0')
}

function unreachable(url: string, error: unknown): ReleaseError {
  // A host name with several addresses gives one reason per address.
  const reasons = error instanceof AggregateError ? error.errors : [error]
  const why = reasons.map((one) => (one instanceof Error ? one.message : String(one))).join('; ')
  return new ReleaseError(
    `cannot connect to the database ${formatDatabase(url)}: ${why}; check that it is running, and releaseLock and backup.database in the config file`,
    { ...failureOf(reasons[0]), reason: 'unreachable' },
    { cause: error },
  )
}

function clientClass(configFile: string): ClientClass {
  try {
    return (createRequire(configFile)('pg') as { readonly Client: ClientClass }).Client
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    throw new ReleaseError(
      `a release on PostgreSQL needs the package "pg", which cannot be resolved from ${configFile}; run npm install pg`,
      { phase: 'process', reason: 'pg-missing' },
      { cause: error },
    )
  }
}

/** Formats `host:port/database` for messages, without user and password. */
export function formatDatabase(url: string): string {
  const { hostname, port, pathname } = new URL(url)
  return `${hostname}${port === '' ? '' : `:${port}`}${pathname}`
}

/** A database URL without the parameters that the sessions of a release set themselves. */
export interface SessionUrl {
  readonly url: string
  /** Its `options` for the server: `-c search_path=app`. */
  readonly options: string
}

/**
 * Removes `application_name` and `options` from a URL. Both `pg` and libpq prefer them to other
 * sources: sessions could not be found by name, and would wait for locks without a timeout.
 */
export function sessionUrl(text: string, ...without: readonly string[]): SessionUrl {
  const url = new URL(text)
  const options = url.searchParams.get('options') ?? ''
  for (const name of ['application_name', 'options', ...without]) url.searchParams.delete(name)
  // libpq does not decode a plus as a space.
  url.search = url.search.replaceAll('+', '%20')
  return { url: url.href, options }
}
