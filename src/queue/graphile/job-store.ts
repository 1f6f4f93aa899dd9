import type { PgPool } from './graphile-module.ts'

/** Quotes an identifier. */
function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Punctual's own tables, in the first schema of the search path. */
const CREATE = `
create table if not exists punctual_forwarded (
  id text primary key,
  at timestamptz not null default now()
);
create index if not exists punctual_forwarded_at on punctual_forwarded (at);
create table if not exists punctual_job_pools (
  pool text primary key,
  schema text not null,
  host text not null,
  pid integer not null,
  beat_at timestamptz not null default now(),
  release_after interval not null
);`

/** Error codes of a table or index that another process created at the same time. */
const CLASHES: ReadonlySet<unknown> = new Set(['23505', '42P06', '42P07', '42710'])
/** How long the ids of forwarded items are kept. */
const REMEMBER = '7 days'
/** Ids deleted at a time, to keep the statement short. */
const FORGET_MOST = 10_000

/** One pool of jobs in one process, as other processes see it. */
export interface JobPool {
  readonly id: string
  readonly host: string
  readonly pid: number
  /** Milliseconds without a heartbeat after which its jobs are released. */
  readonly releaseAfter: number
}

/** A job that was interrupted by a shutdown. */
export interface InterruptedJob {
  readonly id: string
  /** How many attempts it had before this one. */
  readonly attempts: number
}

/** The statements that Punctual itself runs for jobs in PostgreSQL. */
export class JobStore {
  readonly #schema: string
  readonly #jobs: string

  /** @param schema of graphile-worker */
  constructor(schema: string) {
    this.#schema = schema
    this.#jobs = quote(schema)
  }

  /** Creates missing tables. It checks first: the app's role may not be allowed to create any. */
  async prepare(pool: PgPool): Promise<void> {
    for (let tries = 0; ; tries++) {
      const { rows } = await pool.query(
        `select to_regclass('punctual_forwarded') as forwarded, to_regclass('punctual_job_pools') as pools`,
      )
      if (rows[0]?.forwarded != null && rows[0].pools != null) return
      try {
        await pool.query(CREATE)
        return
      } catch (error) {
        if (tries > 2 || !CLASHES.has((error as { readonly code?: unknown }).code)) throw error
      }
    }
  }

  /**
   * Adds a job for each item, in one statement: all or none. Items that were forwarded before are
   * skipped, in any state of their jobs, so a repeat after a crash adds nothing twice.
   * graphile-worker's own job key only covers jobs that have not begun.
   *
   * @param items JSON, in the order of `ids`
   */
  async forward(pool: PgPool, task: string, ids: readonly string[], items: readonly string[]): Promise<void> {
    // The item is wrapped in an object: graphile-worker takes an array as the payload of a batch.
    await pool.query(
      `with fresh as (
        insert into punctual_forwarded (id) select unnest($2::text[]) on conflict (id) do nothing returning id
      ), specs as (
        select array_agg((
          $1::text, json_build_object('id', given.id, 'item', given.item), null, null, 32767, given.id, null, null
        )::${this.#jobs}.job_spec order by given.place) as list
        from unnest($2::text[], $3::json[]) with ordinality as given (id, item, place) join fresh using (id)
      )
      select count(added.id) from specs, ${this.#jobs}.add_jobs(specs.list) as added where specs.list is not null`,
      [task, ids, items],
    )
  }

  /** Lets an item be forwarded again: it is a dead letter now, which may be retried. */
  async forget(pool: PgPool, id: string): Promise<void> {
    await pool.query('delete from punctual_forwarded where id = $1', [id])
  }

  /** Writes a heartbeat of this pool of jobs. */
  async beat(pool: PgPool, { id, host, pid, releaseAfter }: JobPool): Promise<void> {
    await pool.query(
      `insert into punctual_job_pools (pool, schema, host, pid, release_after) values ($1, $2, $3, $4, make_interval(secs => $5))
       on conflict (pool) do update set beat_at = now()`,
      [id, this.#schema, host, pid, releaseAfter / 1_000],
    )
  }

  /** Releases the jobs of pools without a heartbeat. Returns where those pools were. */
  async releaseSilent(pool: PgPool): Promise<readonly string[]> {
    const { rows } = await pool.query(
      `with silent as (
        delete from punctual_job_pools where schema = $1 and beat_at < now() - release_after returning pool, host, pid
      ), released as (
        select ${this.#jobs}.force_unlock_workers(array_agg(pool)) from silent having count(*) > 0
      )
      select host, pid from silent left join released on true`,
      [this.#schema],
    )
    return rows.map(({ host, pid }) => `${host} (process ${pid})`)
  }

  /** Removes this pool of jobs and releases its jobs. */
  async leave(pool: PgPool, id: string): Promise<void> {
    await pool.query(
      `with gone as (delete from punctual_job_pools where pool = $1)
       select ${this.#jobs}.force_unlock_workers(array[$1::text])`,
      [id],
    )
  }

  /**
   * Makes interrupted jobs ready to run, without the attempt that graphile-worker has counted. Jobs
   * that another process has taken by now are left alone.
   */
  async restoreAttempts(pool: PgPool, jobs: readonly InterruptedJob[]): Promise<void> {
    await pool.query(
      `select ${this.#jobs}.reschedule_jobs(array[id], run_at := now(), attempts := attempts)
       from unnest($1::bigint[], $2::int[]) as interrupted (id, attempts)`,
      [jobs.map(({ id }) => id), jobs.map(({ attempts }) => attempts)],
    )
  }

  /** Deletes some of the old ids of forwarded items. True if there are more. */
  async forgetOld(pool: PgPool): Promise<boolean> {
    const { rows } = await pool.query(
      `with gone as (
        delete from punctual_forwarded where ctid in (
          select ctid from punctual_forwarded where at < now() - interval '${REMEMBER}' order by at limit ${FORGET_MOST}
        ) returning 1
      )
      select count(*) = ${FORGET_MOST} as more from gone`,
    )
    return rows[0]?.more === true
  }
}
