import { createRequire } from 'node:module'
import { after } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { failureOf, ReleaseError } from './release-error.ts'

/** What is used of a client of the app's own `pg`. Ours depends on none. */
export interface PgClient {
  connect(): Promise<unknown>
  query(text: string, values?: readonly unknown[]): Promise<PgResult>
  end(): Promise<void>
  /** Not of its public face, but of every version there is. */
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
  /** As `pg_stat_activity` shows it. */
  readonly applicationName: string
  /** Milliseconds for one query. Default: none, the caller has one of its own. */
  readonly queryTimeout?: number
  /** More of the session's options: `-c lock_timeout=3000`. */
  readonly options?: string
}

const CONNECT_LIMIT = 10_000
/** Until the kernel asks whether the other side is still there. Routers forget what is idle for some minutes, without a word to anybody. */
const IDLE_BEFORE_ASKING = 30_000
const FAREWELL_LIMIT = ms(2_000)

type ClientClass = new (options: Readonly<Record<string, unknown>>) => PgClient

/**
 * Opens a session with the app's own `pg`, found from the config file.
 *
 * @throws ReleaseError if the project has no `pg`, or the server cannot be reached within 10 s
 */
export async function openSession(configFile: string, session: PgSession): Promise<PgClient> {
  const Client = clientClass(configFile)
  const { applicationName, queryTimeout } = session
  const { url, options: written } = sessionUrl(session.url)
  // Of what is said twice the server takes the last.
  const options = [written, session.options ?? ''].join(' ').trim()
  const client = new Client({
    connectionString: url,
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_LIMIT,
    keepAlive: true,
    keepAliveInitialDelayMillis: IDLE_BEFORE_ASKING,
    ...(queryTimeout === undefined ? {} : { query_timeout: queryTimeout }),
    ...(options === '' ? {} : { options }),
  })
  // Unheard, a connection that breaks while idle would end the process; the next query tells of it.
  client.on('error', () => {})
  try {
    await client.connect()
  } catch (error) {
    throw unreachable(url, error)
  }
  return client
}

/** Ends a session, in two seconds at most: where nobody is there any more, the kernel waits for an answer for a quarter of an hour. Never rejects. */
export function endSession(client: PgClient): Promise<void> {
  return new Promise((resolve) => {
    const cancel = after(FAREWELL_LIMIT, () => {
      client.connection?.stream?.destroy()
      resolve()
    })
    const ended = (): void => {
      cancel()
      resolve()
    }
    client.end().then(ended, ended)
  })
}

/** Whether an error tells of the connection and not of what was asked: it is the driver's own, or the server ends all sessions (57P01 and its like). */
export function isLostSession(error: unknown): boolean {
  if (typeof error !== 'object' || error === null || !('severity' in error)) return true
  return 'code' in error && String(error.code).startsWith('57P0')
}

function unreachable(url: string, error: unknown): ReleaseError {
  // A name with several addresses has a reason for each, and says nothing itself.
  const reasons = error instanceof AggregateError ? error.errors : [error]
  const why = reasons.map((one) => (one instanceof Error ? one.message : String(one))).join('; ')
  return new ReleaseError(
    `the database ${formatDatabase(url)} cannot be reached: ${why}; look whether it runs, and at releaseLock and backup.database in the config file`,
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
      `the release needs the package "pg" for its PostgreSQL database, and it is not to be found from ${configFile}; npm install pg`,
      { phase: 'process', reason: 'pg-missing' },
      { cause: error },
    )
  }
}

/** `host:port/database`, for messages: never the user's password. */
export function formatDatabase(url: string): string {
  const { hostname, port, pathname } = new URL(url)
  return `${hostname}${port === '' ? '' : `:${port}`}${pathname}`
}

/** A database's URL without what the sessions of a release say themselves. */
export interface SessionUrl {
  readonly url: string
  /** What it had under `options`, for the server: `-c search_path=app`. */
  readonly options: string
}

/**
 * Takes `application_name` and `options` out of a URL. What stands there goes before all else, to `pg` as to libpq: sessions would not be known by the
 * name by which they are looked for, and wait for locks without a limit.
 */
export function sessionUrl(written: string, ...without: readonly string[]): SessionUrl {
  const url = new URL(written)
  const options = url.searchParams.get('options') ?? ''
  for (const name of ['application_name', 'options', ...without]) url.searchParams.delete(name)
  // To libpq a plus is a plus.
  url.search = url.search.replaceAll('+', '%20')
  return { url: url.href, options }
}
