import type { PgPool } from './graphile-shapes.ts'

/** A name that PostgreSQL takes as it is, between quotes. */
function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Our own tables, beside those of graphile-worker. They are in the first schema of the search path. */
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

/** Somebody else has made the same at the same moment. */
const CLASHES: ReadonlySet<unknown> = new Set(['23505', '42P06', '42P07', '42710'])
/** For so long an item is known to have been forwarded. */
const REMEMBER = '7 days'
/** What is forgotten at a time, so that the statement stays short. */
const FORGET_MOST = 10_000

/** One pool of jobs in one process, as others see whether it lives. */
export interface JobPool {
  readonly id: string
  readonly host: string
  readonly pid: number
  /** Milliseconds of silence after which its jobs are given to others. */
  readonly releaseAfter: number
}

/** The jobs in PostgreSQL: what we ask it in our own words. */
export class JobStore {
  readonly #schema: string
  readonly #jobs: string

  /** @param schema of graphile-worker */
  constructor(schema: string) {
    this.#schema = schema
    this.#jobs = quote(schema)
  }

  /** Makes our tables where they are missing. They are asked for first: the app's user may be allowed no DDL. */
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
   * Adds a job for each item, in one statement: all or none. An item that was forwarded before, in whatever state its job is by now, is left out: so a repeat, by whoever
   * took over from a process that died in between, does nothing twice. graphile-worker's own job key knows only jobs that have not begun.
   *
   * @param items JSON, in the order of `ids`
   */
  async forward(pool: PgPool, task: string, ids: readonly string[], items: readonly string[]): Promise<void> {
    // An object around the item: graphile-worker takes a payload that is an array for a batch.
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

  /** So that it can be forwarded again: it went to the dead letters, from where it may be retried. */
  async forget(pool: PgPool, id: string): Promise<void> {
    await pool.query('delete from punctual_forwarded where id = $1', [id])
  }

  /** Says that this pool of jobs lives. */
  async beat(pool: PgPool, { id, host, pid, releaseAfter }: JobPool): Promise<void> {
    await pool.query(
      `insert into punctual_job_pools (pool, schema, host, pid, release_after) values ($1, $2, $3, $4, make_interval(secs => $5))
       on conflict (pool) do update set beat_at = now()`,
      [id, this.#schema, host, pid, releaseAfter / 1_000],
    )
  }

  /** Gives the jobs of pools that have fallen silent to others; returns where these were. */
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

  /** This pool of jobs has ended, and works on nothing any more. */
  async leave(pool: PgPool, id: string): Promise<void> {
    await pool.query(
      `with gone as (delete from punctual_job_pools where pool = $1)
       select ${this.#jobs}.force_unlock_workers(array[$1::text])`,
      [id],
    )
  }

  /** Forgets what was forwarded long ago, a part of it. True if there is more. */
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
