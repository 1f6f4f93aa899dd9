import { rm, writeFile } from 'node:fs/promises'
import { endSession, openSession, type PgClient } from '../postgres-session.ts'
import { RELEASE_TABLES } from '../record/postgres-records.ts'
import { ReleaseError } from '../release-error.ts'
import type { AppIdentity } from '../release-identity.ts'
import type { BackupMaker } from './backup-maker.ts'
import { withLibpqAddress } from './libpq-address.ts'
import { findPgTools, type PgTools, runProgram } from './programs.ts'

const QUERY_TIMEOUT = 30_000
/** How long `pg_dump` waits for a locked table. */
const LOCK_TIMEOUT = '30s'

export interface PostgresBackupOptions {
  readonly configFile: string
  readonly url: string
  readonly app: AppIdentity
  /** Directory of the client programs; null searches for them. */
  readonly tools: string | null
}

/** Uses `pg_dump` in its custom format. */
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
    const rows = await this.#query('select pg_database_size(current_database())::float8 as size')
    return Number(rows[0]?.size)
  }

  async make(path: string, signal: AbortSignal): Promise<void> {
    const { dump, restore } = await this.#find()
    const without = RELEASE_TABLES.map((table) => `--exclude-table=*.${table}`)
    await withLibpqAddress(this.#options.url, ({ url, env, options }) => {
      const args = [
        '--format=custom',
        `--lock-wait-timeout=${LOCK_TIMEOUT}`,
        '--no-password',
        ...without,
        `--file=${path}`,
        url,
      ]
      return runProgram(dump, args, {
        signal,
        env: { ...env, PGAPPNAME: 'punctual release backup', PGOPTIONS: options },
      })
    })
    await this.#verify(restore, path, signal)
  }

  /**
   * Reads all of the file: the table of contents at its head is complete even if the rest is
   * missing.
   */
  async #verify(restore: string, path: string, signal: AbortSignal): Promise<void> {
    try {
      const list = await runProgram(restore, ['--list', path], { signal })
      const entries = Number(/TOC Entries: (\d+)/.exec(list)?.[1])
      if (!(entries > 0)) throw new Error('pg_restore found no contents')
      await runProgram(restore, ['--file=/dev/null', path], { signal })
    } catch (error) {
      signal.throwIfAborted()
      throw new ReleaseError(
        `the backup ${path} cannot be read back: ${(error as Error).message}`,
        { phase: 'backup', reason: 'unreadable' },
        { cause: error },
      )
    }
  }

  /**
   * In one transaction: drops everything, then loads the backup. Our own tables are moved aside
   * meanwhile.
   */
  async restore(path: string, signal: AbortSignal): Promise<void> {
    const { restore, psql } = await this.#find()
    if (psql === null) {
      throw new ReleaseError('psql is missing beside pg_restore; install it to restore a backup', {
        phase: 'restore',
        reason: 'tools-missing',
      })
    }
    const script = `${path}.sql`
    try {
      // Written completely before the database is touched.
      await writeFile(script, '', { mode: 0o600 })
      await runProgram(restore, ['--clean', '--if-exists', `--file=${script}`, path], { signal })
      await withLibpqAddress(this.#options.url, ({ url, env, options }) => {
        const args = ['-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '--no-password', '-d', url]
        // By file name: psql takes the end of a broken pipe for the end of the script, and commits.
        return runProgram(psql, [...args, '-c', DROP_ALL, '-f', script, '-c', MOVE_BACK], {
          signal,
          env: {
            ...env,
            PGAPPNAME: this.#options.app.stepSessions,
            PGOPTIONS: `${options} -c client_min_messages=warning -c lock_timeout=30s`,
          },
        })
      })
    } finally {
      await rm(script, { force: true })
    }
  }

  async otherSessions(): Promise<number> {
    // Without pg_read_all_stats a user sees the sessions of others, but not their type. Sessions
    // without a user are the server's own.
    const rows = await this.#query(
      `select count(*)::int as others from pg_stat_activity where datname = current_database() and usesysid is not null
        and coalesce(backend_type, 'client backend') = 'client backend'
        and coalesce(application_name, '') not like 'punctual release %' and pid <> pg_backend_pid()`,
    )
    return Number(rows[0]?.others)
  }

  #find(): Promise<PgTools> {
    this.#tools ??= (async () => {
      const rows = await this.#query(`select current_setting('server_version_num')::int / 10000 as major`)
      return await findPgTools(Number(rows[0]?.major), this.#options.tools)
    })()
    return this.#tools
  }

  async #query(text: string): Promise<readonly Record<string, unknown>[]> {
    const { configFile, url } = this.#options
    const client: PgClient = await openSession(configFile, {
      url,
      applicationName: 'punctual release backup',
      queryTimeout: QUERY_TIMEOUT,
    })
    try {
      return (await client.query(text)).rows
    } finally {
      await endSession(client)
    }
  }
}

const NAMES = RELEASE_TABLES.map((table) => `'${table}'`).join(', ')

/**
 * Our tables with their schemas, remembered in a transaction-local setting, which needs no
 * privilege.
 */
const ASIDE = `select * from json_to_recordset(current_setting('punctual.aside')::json) as one(name text, home text, aside text)`

/** Drops everything that users created; objects of an extension stay with it. */
const DROP_ALL = `do $clear$
declare thing record;
begin
  -- A search_path may have put them into any schema, and several apps into several.
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
    -- It may have been dropped with another one.
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

/** The script has emptied the search_path, so every name is qualified. */
const MOVE_BACK = `do $back$
declare thing record;
begin
  for thing in ${ASIDE} loop
    -- A schema that is not in the backup was created later.
    execute format('create schema if not exists %I', thing.home);
    execute format('alter table %I.%I set schema %I', thing.aside, thing.name, thing.home);
  end loop;
  for thing in select distinct aside from (${ASIDE}) every loop
    execute format('drop schema %I', thing.aside);
  end loop;
end $back$`
