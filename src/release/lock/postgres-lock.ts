import { hostname } from 'node:os'
import type { LockHolder } from '../../diagnostics/release-report.ts'
import { type Cancel, every } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import { endSession, formatDatabase, openSession, type PgClient } from '../postgres-session.ts'
import { ReleaseError } from '../release-error.ts'
import type { AppIdentity } from '../release-identity.ts'
import type { ReleaseLock } from './release-lock.ts'

/** An answer that takes longer is taken for a loss. Below the server's own limit, so that we know before another can have it. */
const QUERY_LIMIT = 20_000
/** After a minute without a sign of our machine the server gives the lock to others: by its defaults that takes two hours. */
const KEEP_ALIVE = {
  tcp_keepalives_idle: 30,
  tcp_keepalives_interval: 10,
  tcp_keepalives_count: 3,
  tcp_user_timeout: 60_000,
}
const LOOK_EVERY = ms(2_000)
/** `application_name` holds 63 bytes. */
const LONGEST_HOST = 40

/** The halves of a 64-bit key, as `pg_locks` shows them. */
const OURS = `l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid::bigint = (($1::bigint >> 32) & 4294967295) and l.objid::bigint = ($1::bigint & 4294967295)`

/**
 * An advisory lock of a session. The session does nothing else; it is looked at every two seconds, so that a connection that has silently gone, or a
 * pooler that has put another server session in its place, is found out.
 */
export class PostgresLock implements ReleaseLock {
  readonly where: string
  readonly #client: PgClient
  readonly #key: string
  readonly #lost = new AbortController()
  #stopLooking: Cancel = () => {}
  #taken = false

  private constructor(client: PgClient, url: string, app: AppIdentity) {
    this.#client = client
    this.#key = app.lockKey
    this.where = `PostgreSQL ${formatDatabase(url)}`
    client.on('error', (error) => this.#lose(error.message))
    client.on('end', () => this.#lose('its connection has ended'))
  }

  static async open(configFile: string, url: string, app: AppIdentity): Promise<PostgresLock> {
    const applicationName = `punctual release ${hostname().slice(0, LONGEST_HOST)}:${process.pid}`
    const client = await openSession(configFile, { url, applicationName, queryTimeout: QUERY_LIMIT })
    for (const [name, value] of Object.entries(KEEP_ALIVE)) {
      // Where it cannot be set (an old server, a pooler), the lock holds all the same.
      await client.query(`set ${name} = ${value}`).catch(() => {})
    }
    return new PostgresLock(client, url, app)
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  async tryAcquire(): Promise<boolean> {
    const { rows } = await this.#client.query('select pg_try_advisory_lock($1::bigint) as taken', [this.#key])
    if (rows[0]?.taken !== true) return false
    this.#taken = true
    await this.#look()
    this.#stopLooking = every(LOOK_EVERY, () => void this.#look())
    this.#lost.signal.throwIfAborted()
    return true
  }

  async holder(): Promise<LockHolder | null> {
    const { rows } = await this.#client.query(
      `select a.pid, a.application_name, a.client_addr, a.backend_start
        from pg_locks l join pg_stat_activity a using (pid) where ${OURS}`,
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
    this.#taken = false
    this.#stopLooking()
    await endSession(this.#client)
  }

  async #look(): Promise<void> {
    try {
      const { rows } = await this.#client.query(
        `select count(*)::int as held from pg_locks l where ${OURS} and l.pid = pg_backend_pid()`,
        [this.#key],
      )
      if (rows[0]?.held !== 1) {
        this.#lose(
          'the server says that it is not held; does a pooler stand between, where a direct connection is needed?',
        )
      }
    } catch (error) {
      this.#lose((error as Error).message)
    }
  }

  #lose(why: string): void {
    if (!this.#taken || this.#lost.signal.aborted) return
    this.#stopLooking()
    this.#lost.abort(
      new ReleaseError(`the release lock in ${this.where} was lost: ${why}`, { phase: 'lock', reason: 'lost' }),
    )
  }
}
