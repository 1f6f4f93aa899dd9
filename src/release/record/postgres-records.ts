import type { ReleaseRecord } from '../../diagnostics/release-report.ts'
import { monotonicNow, pause } from '../../resilience/clock.ts'
import { type Milliseconds, ms } from '../../resilience/duration.ts'
import { SerialQueue } from '../../resilience/serial-queue.ts'
import { endSession, isLostSession, openSession, type PgClient } from '../postgres-session.ts'
import { ReleaseError } from '../release-error.ts'
import type { AppIdentity } from '../release-identity.ts'
import { RECORDS_KEPT, type ReleaseMark, type ReleaseRecords } from './release-records.ts'

const QUERY_TIMEOUT = 15_000
const END_SESSIONS_TIMEOUT = ms(30_000)
const POLL_INTERVAL = ms(100)

/** Our tables. Restoring a backup leaves them unchanged. */
export const RELEASE_TABLES = ['punctual_releases', 'punctual_release_steps'] as const

/**
 * One transaction. Apps that share a database have different release locks, so this needs its own.
 */
const CREATE = `
select pg_advisory_xact_lock(8246179012345678917);
create table if not exists punctual_releases (
  id text primary key,
  app text not null,
  version text not null,
  host text not null,
  outcome text not null,
  started_at timestamptz not null,
  ended_at timestamptz,
  record jsonb not null
);
create table if not exists punctual_release_steps (
  app text not null,
  version text not null,
  step text not null,
  run text not null,
  at timestamptz not null default now(),
  primary key (app, version, step)
);`

interface Rows {
  readonly rows: readonly Record<string, unknown>[]
}

/**
 * Records in the table `punctual_releases`, over a session of its own. A lost session is opened
 * again, so that the outcome of a run is saved even then.
 */
export class PostgresRecords implements ReleaseRecords {
  readonly where = 'the table punctual_releases'
  readonly #configFile: string
  readonly #url: string
  readonly #app: AppIdentity
  /** One query at a time: `pg` refuses others. */
  readonly #queue = new SerialQueue()
  #client: Promise<PgClient> | null = null

  constructor(configFile: string, url: string, app: AppIdentity) {
    this.#configFile = configFile
    this.#url = url
    this.#app = app
  }

  async now(): Promise<string> {
    const { rows } = await this.#query('select clock_timestamp() as now')
    const [row] = rows
    if (!(row?.now instanceof Date)) throw new Error('the database did not return its time')
    return row.now.toISOString()
  }

  async prepare(): Promise<void> {
    // Checked first: the app's user may lack the privilege to create tables.
    const { rows } = await this.#query(
      `select to_regclass('punctual_releases') as releases, to_regclass('punctual_release_steps') as steps`,
    )
    if (rows[0]?.releases === null || rows[0]?.steps === null) await this.#query(CREATE)
  }

  async list(): Promise<readonly ReleaseRecord[]> {
    const found = await this.#query(`select to_regclass('punctual_releases') as name`)
    if (found.rows[0]?.name === null) return []
    const { rows } = await this.#query(
      'select record from punctual_releases where app = $1 order by started_at desc limit $2',
      [this.#app.name, RECORDS_KEPT],
    )
    return rows.map(({ record }) => record as ReleaseRecord)
  }

  async save(record: ReleaseRecord): Promise<void> {
    const { id, app, version, host, outcome, startedAt, endedAt } = record
    await this.#query(
      `insert into punctual_releases (id, app, version, host, outcome, started_at, ended_at, record)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (id) do update set outcome = excluded.outcome, ended_at = excluded.ended_at, record = excluded.record`,
      [id, app, version, host, outcome, startedAt, endedAt, JSON.stringify(record)],
    )
  }

  async marks(): Promise<readonly ReleaseMark[]> {
    const { rows } = await this.#query('select run, step from punctual_release_steps where app = $1 order by at', [
      this.#app.name,
    ])
    return rows.map(({ run, step }) => ({ run: String(run), step: String(step) }))
  }

  async deleteMark(version: string, step: string): Promise<void> {
    await this.#query('delete from punctual_release_steps where app = $1 and version = $2 and step = $3', [
      this.#app.name,
      version,
      step,
    ])
  }

  async deleteMarksOf(run: string): Promise<void> {
    await this.#query('delete from punctual_release_steps where run = $1', [run])
  }

  async endLeftoverSessions(): Promise<void> {
    const end = monotonicNow() + END_SESSIONS_TIMEOUT
    const ours = 'datname = current_database() and application_name = $1 and pid <> pg_backend_pid()'
    let fault: unknown
    for (;;) {
      const { rows } = await this.#query(`select pid from pg_stat_activity where ${ours}`, [this.#app.stepSessions])
      if (rows.length === 0) return
      if (monotonicNow() > end) {
        const pids = rows.map(({ pid }) => pid).join(', ')
        throw new ReleaseError(
          `sessions of an earlier release are still active (server processes ${pids}); end them with pg_terminate_backend`,
          { phase: 'process', reason: 'sessions-left' },
          { cause: fault },
        )
      }
      // A session that waits for a lock ends at once, a running statement at its next safe point.
      await this.#query(`select pg_terminate_backend(pid) from pg_stat_activity where ${ours}`, [
        this.#app.stepSessions,
      ]).catch((error: unknown) => {
        fault = error
      })
      await pause(POLL_INTERVAL)
    }
  }

  async invalidIndexes(): Promise<readonly string[]> {
    const select = `select i.indexrelid::regclass::text as name from pg_index i
      join pg_class c on c.oid = i.indexrelid where not i.indisvalid and c.relkind = 'i'`
    // Those that are being built. The view is missing before PostgreSQL 12.
    const done = 'and i.indexrelid not in (select index_relid from pg_stat_progress_create_index)'
    const { rows } = await this.#query(`${select} ${done}`).catch((error: unknown) => {
      if ((error as { readonly code?: unknown }).code !== '42P01') throw error
      return this.#query(select)
    })
    return rows.map(({ name }) => String(name))
  }

  async dropIndex(name: string, timeout: Milliseconds): Promise<void> {
    // A session of its own: it waits for older transactions, for longer than other queries may.
    const client = await openSession(this.#configFile, {
      url: this.#url,
      applicationName: this.#app.stepSessions,
      queryTimeout: timeout,
    })
    try {
      await client.query(`drop index concurrently if exists ${name}`)
    } finally {
      await endSession(client)
    }
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => null)
    if (client != null) await endSession(client)
  }

  /** Retries once over a new session if the old one is lost: every query here is idempotent. */
  #query(text: string, values?: readonly unknown[]): Promise<Rows> {
    return this.#queue.run(() => this.#queryNow(text, values))
  }

  async #queryNow(text: string, values?: readonly unknown[]): Promise<Rows> {
    const opening = this.#open()
    const client = await opening
    try {
      return await client.query(text, values)
    } catch (error) {
      if (!isLostSession(error)) throw error
      this.#forget(opening)
      // The server may no longer respond.
      void endSession(client)
      return await (await this.#open()).query(text, values)
    }
  }

  #open(): Promise<PgClient> {
    if (this.#client !== null) return this.#client
    const opening = openSession(this.#configFile, {
      url: this.#url,
      applicationName: 'punctual release record',
      queryTimeout: QUERY_TIMEOUT,
    })
    this.#client = opening
    const forget = (): void => this.#forget(opening)
    opening.then((client) => {
      client.on('error', forget)
      client.on('end', forget)
    }, forget)
    return opening
  }

  #forget(opening: Promise<PgClient>): void {
    if (this.#client === opening) this.#client = null
  }
}
