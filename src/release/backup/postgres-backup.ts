import { rm, writeFile } from 'node:fs/promises'
import { endSession, openSession, type PgClient, sessionUrl } from '../postgres-session.ts'
import { RELEASE_TABLES } from '../record/postgres-records.ts'
import { ReleaseError } from '../release-error.ts'
import type { AppIdentity } from '../release-identity.ts'
import type { BackupMaker } from './backup-maker.ts'
import { findPgTools, type PgTools, runProgram } from './programs.ts'

const QUERY_LIMIT = 30_000
/** How long `pg_dump` waits for a table that somebody has locked. */
const LOCK_WAIT = '30s'

export interface PostgresBackupOptions {
  readonly configFile: string
  readonly url: string
  readonly app: AppIdentity
  /** Directory of the client programs; null finds them. */
  readonly tools: string | null
}

/** By `pg_dump` in its custom format. */
export class PostgresBackup implements BackupMaker {
  readonly extension = 'dump'
  readonly #options: PostgresBackupOptions
  #tools: Promise<PgTools> | null = null

  constructor(options: PostgresBackupOptions) {
    this.#options = options
  }

  async check(): Promise<void> {
    await this.#find()
  }

  async size(): Promise<number> {
    const rows = await this.#ask('select pg_database_size(current_database())::float8 as size')
    return Number(rows[0]?.size)
  }

  async make(path: string, signal: AbortSignal): Promise<void> {
    const { dump, restore } = await this.#find()
    const { url, env, options } = libpqAddress(this.#options.url)
    const without = RELEASE_TABLES.map((table) => `--exclude-table=*.${table}`)
    const args = [
      '--format=custom',
      `--lock-wait-timeout=${LOCK_WAIT}`,
      '--no-password',
      ...without,
      `--file=${path}`,
      url,
    ]
    await runProgram(dump, args, { signal, env: { ...env, PGAPPNAME: 'punctual release backup', PGOPTIONS: options } })
    await this.#readBack(restore, path, signal)
  }

  /** The list of contents stands at the head of the file, and is whole even where the rest is missing: so all of it is read. */
  async #readBack(restore: string, path: string, signal: AbortSignal): Promise<void> {
    try {
      const list = await runProgram(restore, ['--list', path], { signal })
      const promised = Number(/TOC Entries: (\d+)/.exec(list)?.[1])
      if (!(promised > 0)) throw new Error('pg_restore finds no contents in it')
      await runProgram(restore, ['--file=/dev/null', path], { signal })
    } catch (error) {
      signal.throwIfAborted()
      throw new ReleaseError(
        `the back-up ${path} cannot be read back: ${(error as Error).message}`,
        { phase: 'backup', reason: 'unreadable' },
        { cause: error },
      )
    }
  }

  /** In one transaction: everything goes, then the back-up comes. Our own records stand aside meanwhile. */
  async restore(path: string, signal: AbortSignal): Promise<void> {
    const { restore, psql } = await this.#find()
    if (psql === null) {
      throw new ReleaseError('there is no psql beside pg_restore; install it to restore a back-up', {
        phase: 'restore',
        reason: 'tools-missing',
      })
    }
    const { url, env, options } = libpqAddress(this.#options.url)
    const script = `${path}.sql`
    try {
      // Made whole before the database is touched.
      await writeFile(script, '', { mode: 0o600 })
      await runProgram(restore, ['--clean', '--if-exists', `--file=${script}`, path], { signal })
      const args = ['-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '--no-password', '-d', url]
      // By its name: of a pipe that breaks, psql takes the end for the end of the script, and commits what it has.
      await runProgram(psql, [...args, '-c', CLEAR, '-f', script, '-c', BRING_BACK], {
        signal,
        env: {
          ...env,
          PGAPPNAME: this.#options.app.stepSessions,
          PGOPTIONS: `${options} -c client_min_messages=warning -c lock_timeout=30s`,
        },
      })
    } finally {
      await rm(script, { force: true })
    }
  }

  async otherSessions(): Promise<number> {
    // Of the sessions of others, a user without pg_read_all_stats sees who and where, but not of what type they are. What has no user is the server's own.
    const rows = await this.#ask(
      `select count(*)::int as others from pg_stat_activity where datname = current_database() and usesysid is not null
        and coalesce(backend_type, 'client backend') = 'client backend'
        and coalesce(application_name, '') not like 'punctual release %' and pid <> pg_backend_pid()`,
    )
    return Number(rows[0]?.others)
  }

  #find(): Promise<PgTools> {
    this.#tools ??= (async () => {
      const rows = await this.#ask(`select current_setting('server_version_num')::int / 10000 as major`)
      return await findPgTools(Number(rows[0]?.major), this.#options.tools)
    })()
    return this.#tools
  }

  async #ask(text: string): Promise<readonly Record<string, unknown>[]> {
    const { configFile, url } = this.#options
    const client: PgClient = await openSession(configFile, {
      url,
      applicationName: 'punctual release backup',
      queryTimeout: QUERY_LIMIT,
    })
    try {
      return (await client.query(text)).rows
    } finally {
      await endSession(client)
    }
  }
}

const NAMES = RELEASE_TABLES.map((table) => `'${table}'`).join(', ')

/** Our own tables, and the schemas they come from and wait in. Remembered in a setting of the transaction, which needs no privilege. */
const ASIDE = `select * from json_to_recordset(current_setting('punctual.aside')::json) as one(name text, home text, aside text)`

/** Drops what users have made; what belongs to an extension stays with it. */
const CLEAR = `do $clear$
declare thing record;
begin
  -- A search_path may have put them anywhere, and those of several apps into several schemas.
  perform set_config('punctual.aside', coalesce(json_agg(ours)::text, '[]'), true) from (
    select c.relname as name, n.nspname as home, 'punctual_aside_' || n.oid as aside
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname not like 'pg\\_%' and c.relkind = 'r' and c.relname in (${NAMES})
  ) ours;
  for thing in ${ASIDE} loop
    execute format('create schema if not exists %I', thing.aside);
    execute format('alter table %I.%I set schema %I', thing.home, thing.name, thing.aside);
  end loop;
  for thing in select n.nspname as name from pg_namespace n
    where n.nspname not like 'pg\\_%' and n.nspname not in ('information_schema', 'public')
    and n.nspname not like 'punctual\\_aside\\_%'
    and not exists (select from pg_depend d where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e')
    and not exists (select from pg_extension e where e.extnamespace = n.oid) loop
    execute format('drop schema %I cascade', thing.name);
  end loop;
  for thing in select c.oid, c.oid::regclass as name, case c.relkind when 'v' then 'view' when 'm' then 'materialized view'
      when 'f' then 'foreign table' when 'S' then 'sequence' else 'table' end as kind
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema' and n.nspname not like 'punctual\\_aside\\_%'
    and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') loop
    -- It may have gone with another.
    if exists (select from pg_class where oid = thing.oid) then
      execute format('drop %s %s cascade', thing.kind, thing.name);
    end if;
  end loop;
  for thing in select p.oid, p.oid::regprocedure as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e') loop
    if exists (select from pg_proc where oid = thing.oid) then
      execute format('drop routine %s cascade', thing.name);
    end if;
  end loop;
  for thing in select t.oid, t.oid::regtype as name from pg_type t join pg_namespace n on n.oid = t.typnamespace
    where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    and t.typtype in ('e', 'd', 'r', 'c') and (t.typrelid = 0 or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
    and not exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e') loop
    if exists (select from pg_type where oid = thing.oid) then
      execute format('drop type %s cascade', thing.name);
    end if;
  end loop;
end $clear$`

/** The script has emptied the path along which names are found. */
const BRING_BACK = `do $back$
declare thing record;
begin
  for thing in ${ASIDE} loop
    -- One that the back-up does not have has come after it.
    execute format('create schema if not exists %I', thing.home);
    execute format('alter table %I.%I set schema %I', thing.aside, thing.name, thing.home);
  end loop;
  for thing in select distinct aside from (${ASIDE}) every loop
    execute format('drop schema %I', thing.aside);
  end loop;
end $back$`

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
