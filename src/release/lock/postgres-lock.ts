import { hostname } from 'node:os'
import type { LockHolder } from '../../diagnostics/release-report.ts'
import { type Cancel, every } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import { SerialQueue } from '../../resilience/serial-queue.ts'
import { endSession, formatDatabase, isLostSession, openSession, type PgClient } from '../postgres-session.ts'
import { ReleaseError } from '../release-error.ts'
import type { AppIdentity } from '../release-identity.ts'
import { LockUnavailableError, type ReleaseLock } from './release-lock.ts'

/**
 * A slower answer counts as a loss. Below `tcp_user_timeout`, so that we know before the server
 * gives the lock away.
 */
const QUERY_TIMEOUT = 20_000
/**
 * The server releases the lock after a minute without a sign of our machine; by default it takes
 * two hours.
 */
const KEEP_ALIVE = {
  tcp_keepalives_idle: 30,
  tcp_keepalives_interval: 10,
  tcp_keepalives_count: 3,
  tcp_user_timeout: 60_000,
}
const CHECK_INTERVAL = ms(2_000)
/** `application_name` holds 63 bytes. */
const MAX_HOST_LENGTH = 40

/** Selects our lock: `pg_locks` shows the two halves of its 64-bit key. */
const IS_OURS = `l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid::bigint = (($1::bigint >> 32) & 4294967295) and l.objid::bigint = ($1::bigint & 4294967295)`

/**
 * An advisory lock in a session of its own. The session is checked every two seconds, which detects
 * a connection that silently broke and a pooler that switched to another server session.
 */
export class PostgresLock implements ReleaseLock {
  readonly where: string
  readonly #connect: () => Promise<PgClient>
  readonly #key: string
  readonly #lost = new AbortController()
  /** One query at a time: `pg` refuses others. */
  readonly #queue = new SerialQueue()
  /** Null after the connection was lost while the lock was waited for. */
  #client: PgClient | null = null
  #stopChecking: Cancel = () => {}
  #held = false
  #isChecking = false

  private constructor(connect: () => Promise<PgClient>, url: string, app: AppIdentity) {
    this.#connect = connect
    this.#key = app.lockKey
    this.where = `PostgreSQL ${formatDatabase(url)}`
  }

  static async open(configFile: string, url: string, app: AppIdentity): Promise<PostgresLock> {
    const applicationName = `punctual release ${hostname().slice(0, MAX_HOST_LENGTH)}:${process.pid}`
    const connect = async (): Promise<PgClient> => {
      const client = await openSession(configFile, { url, applicationName, queryTimeout: QUERY_TIMEOUT })
      for (const [name, value] of Object.entries(KEEP_ALIVE)) {
        // An old server or a pooler may refuse it; the lock works without.
        await client.query(`set ${name} = ${value}`).catch(() => {})
      }
      return client
    }
    const lock = new PostgresLock(connect, url, app)
    await lock.#open()
    return lock
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  async tryAcquire(): Promise<boolean> {
    const { rows } = await this.#query('select pg_try_advisory_lock($1::bigint) as taken', [this.#key])
    if (rows[0]?.taken !== true) return false
    this.#held = true
    await this.#check()
    this.#stopChecking = every(CHECK_INTERVAL, () => void this.#check())
    this.#lost.signal.throwIfAborted()
    return true
  }

  async holder(): Promise<LockHolder | null> {
    const { rows } = await this.#query(
      `select a.pid, a.application_name, a.client_addr, a.backend_start
        from pg_locks l join pg_stat_activity a using (pid) where ${IS_OURS}`,
      [this.#key],
    )
    const [row] = rows
    if (row === undefined) return null
    const name = String(row.application_name ?? '').replace(/^punctual release /, '')
    const [, host = name, pid] = /^(.*):(\d+)$/.exec(name) ?? []
    return {
      host: host === '' ? null : host,
      pid: pid === undefined ? null : Number(pid),
      serverPid: Number(row.pid),
      since: row.backend_start instanceof Date ? row.backend_start.toISOString() : null,
    }
  }

  async close(): Promise<void> {
    this.#held = false
    this.#stopChecking()
    if (this.#client !== null) await endSession(this.#client)
  }

  async #open(): Promise<PgClient> {
    const client = await this.#connect()
    this.#client = client
    client.on('error', (error) => this.#lose(client, error.message))
    client.on('end', () => this.#lose(client, 'its connection ended'))
    return client
  }

  /**
   * Opens the connection again if it was lost before the lock was acquired.
   *
   * @throws LockUnavailableError if the connection is lost, or cannot be opened
   */
  #query(text: string, values: readonly unknown[]): ReturnType<PgClient['query']> {
    return this.#queue.run(async () => {
      let client: PgClient | null = null
      try {
        client = this.#client ?? (await this.#open())
        return await client.query(text, values)
      } catch (error) {
        if (this.#held || !isLostSession(error)) throw error
        if (client !== null) void endSession(client)
        this.#client = null
        throw new LockUnavailableError(error)
      }
    })
  }

  async #check(): Promise<void> {
    if (this.#isChecking) return
    this.#isChecking = true
    try {
      const { rows } = await this.#query(
        `select count(*)::int as held from pg_locks l where ${IS_OURS} and l.pid = pg_backend_pid()`,
        [this.#key],
      )
      if (rows[0]?.held !== 1) {
        this.#lose(this.#client, 'the server does not list it; releaseLock needs a direct connection, not a pooler')
      }
    } catch (error) {
      this.#lose(this.#client, (error as Error).message)
    } finally {
      this.#isChecking = false
    }
  }

  /** @param client the connection that is lost */
  #lose(client: PgClient | null, why: string): void {
    if (client !== this.#client) return
    if (!this.#held) this.#client = null
    if (!this.#held || this.#lost.signal.aborted) return
    this.#stopChecking()
    this.#lost.abort(
      new ReleaseError(`lost the release lock in ${this.where}: ${why}`, { phase: 'lock', reason: 'lost' }),
    )
  }
}
