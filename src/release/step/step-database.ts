import type { DatabaseSync } from 'node:sqlite'
import { delayAfter } from '../../resilience/back-off.ts'
import { pause } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import type { StepTask } from '../messages.ts'
import { endSession, openSession, type PgClient } from '../postgres-session.ts'

/** The database of a step that is a function: one session, opened when it is first asked. */
export interface StepDatabase {
  query(text: string, values: readonly unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
  begin(): Promise<void>
  /** Marks the step as applied; false if it is already. */
  mark(run: string): Promise<boolean>
  unmark(): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Never rejects. */
  close(): Promise<void>
}

/** The database of `releaseLock`, as a step asks it. */
export function openStepDatabase(task: StepTask): StepDatabase {
  const { database } = task
  if (database.kind === 'postgres') return openPostgresStep(task, database.url)
  if (database.kind === 'sqlite') return openSqliteStep(task, database.path)
  const refuse = (): never => {
    throw new Error(
      'there is no database to ask: releaseLock names a file. Name a PostgreSQL or SQLite database there, or open a connection of your own',
    )
  }
  return {
    query: async () => refuse(),
    begin: async () => refuse(),
    mark: async () => refuse(),
    unmark: async () => refuse(),
    commit: async () => refuse(),
    rollback: async () => refuse(),
    close: async () => {},
  }
}

/** PostgreSQL's code for a lock that was not to be had within `lock_timeout`. */
const LOCK_NOT_AVAILABLE = '55P03'

/** Whether an error says that a lock of the database was not to be had in time. */
export function isLockTimeout(error: unknown): boolean {
  for (let one = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth++) {
    const { code, errcode } = one as Error & { readonly code?: unknown; readonly errcode?: unknown }
    if (code === LOCK_NOT_AVAILABLE || (typeof errcode === 'number' && [5, 6].includes(errcode & 0xff))) return true
  }
  return false
}

/** The same of what a command has printed. */
export function printsLockTimeout(output: string): boolean {
  return output.includes(LOCK_NOT_AVAILABLE) || output.includes('canceling statement due to lock timeout')
}

function openPostgresStep(task: StepTask, url: string): StepDatabase {
  let opening: Promise<PgClient> | null = null
  let inTransaction = false
  const client = (): Promise<PgClient> => {
    opening ??= openSession(task.configFile, {
      url,
      applicationName: task.applicationName,
      ...(Number.isFinite(task.tableLock) ? { options: `-c lock_timeout=${Math.round(task.tableLock)}` } : {}),
    })
    return opening
  }
  /** Between its attempts a statement stands in no queue, so that the site's own get their turn. It ends at the limit of the step. */
  const query: StepDatabase['query'] = async (text, values) => {
    const session = await client()
    for (let attempt = 1; ; attempt++) {
      try {
        return await session.query(text, values)
      } catch (error) {
        // In a transaction the whole of it has failed: it is tried again from its beginning.
        if (inTransaction || !isLockTimeout(error)) throw error
        await pause(ms(delayAfter({ jitter: 'full', base: 200, most: 3_000, random: Math.random }, attempt, 0)))
      }
    }
  }
  return {
    query,
    begin: async () => {
      await query('begin', [])
      inTransaction = true
    },
    mark: async (run) => {
      const { rows } = await query(
        `insert into punctual_release_steps (app, version, step, run) values ($1, $2, $3, $4)
          on conflict do nothing returning step`,
        [task.app, task.version, task.name, run],
      )
      return rows.length > 0
    },
    unmark: async () => {
      await query('delete from punctual_release_steps where app = $1 and version = $2 and step = $3', [
        task.app,
        task.version,
        task.name,
      ])
    },
    commit: async () => {
      await query('commit', [])
    },
    rollback: async () => {
      await query('rollback', [])
    },
    close: async () => {
      const session = await opening?.catch(() => null)
      if (session != null) await endSession(session)
    },
  }
}

const MARKS = `create table if not exists punctual_release_steps (
  app text not null, version text not null, step text not null, run text not null, at text not null default current_timestamp,
  primary key (app, version, step)
)`

type Values = Parameters<ReturnType<DatabaseSync['prepare']>['all']>

/** Synchronous in this process, which does nothing else; a lock is waited for for `releaseTableLockTimeout`. */
function openSqliteStep(task: StepTask, path: string): StepDatabase {
  let open: Promise<DatabaseSync> | null = null
  const database = (): Promise<DatabaseSync> => {
    open ??= import('node:sqlite').then(({ DatabaseSync }) => {
      const opened = new DatabaseSync(path)
      const wait = Number.isFinite(task.tableLock) ? Math.round(task.tableLock) : 2 ** 31 - 1
      opened.exec(`pragma busy_timeout = ${wait}`)
      return opened
    })
    return open
  }
  const exec = async (text: string): Promise<void> => (await database()).exec(text)
  const all = async (text: string, values: readonly unknown[]): Promise<Record<string, unknown>[]> =>
    (await database()).prepare(text).all(...(values as Values)) as Record<string, unknown>[]
  return {
    query: async (text, values) => ({ rows: await all(text, values) }),
    begin: () => exec('begin immediate'),
    mark: async (run) => {
      await exec(MARKS)
      const rows = await all(
        'insert into punctual_release_steps (app, version, step, run) values (?, ?, ?, ?) on conflict do nothing returning step',
        [task.app, task.version, task.name, run],
      )
      return rows.length > 0
    },
    unmark: async () => {
      await exec(MARKS)
      await all('delete from punctual_release_steps where app = ? and version = ? and step = ?', [
        task.app,
        task.version,
        task.name,
      ])
    },
    commit: () => exec('commit'),
    rollback: () => exec('rollback'),
    close: async () => (await open?.catch(() => null))?.close(),
  }
}
