import type { DatabaseSync } from 'node:sqlite'
import { delayAfter } from '../../resilience/back-off.ts'
import { pause } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import type { StepTask } from '../messages.ts'
import { endSession, openSession, type PgClient, setLockTimeout } from '../postgres-session.ts'

/** The database connection of a step that is a function. Opened by its first query. */
export interface StepDatabase {
  query(text: string, values: readonly unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
  begin(): Promise<void>
  /** Marks the step as applied. Returns false if it already is. */
  mark(run: string): Promise<boolean>
  unmark(): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Never rejects. */
  close(): Promise<void>
}

/** Opens the database of `releaseLock` for a step. */
export function openStepDatabase(task: StepTask): StepDatabase {
  const { database } = task
  if (database.kind === 'postgres') return openPostgresStep(task, database.url)
  if (database.kind === 'sqlite') return openSqliteStep(task, database.path)
  const refuse = async (): Promise<never> => {
    throw new Error(
      'releaseLock is a file, so there is no database to query; set it to a PostgreSQL or SQLite database, or open your own connection',
    )
  }
  return {
    query: refuse,
    begin: refuse,
    mark: refuse,
    unmark: refuse,
    commit: refuse,
    rollback: refuse,
    close: async () => {},
  }
}

const CONCURRENTLY = /^\s*(?:create|drop|reindex|refresh|alter)\b[^;]*\bconcurrently\b/i
const CREATED_INDEX =
  /^\s*create\s+(?:unique\s+)?index\s+concurrently\s+(?:if\s+not\s+exists\s+)?((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)\s+on\b/i

/** PostgreSQL: a lock could not be acquired within `lock_timeout`. */
const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Returns whether an error, or one of its causes, means that a database lock was not acquired in
 * time.
 */
export function isLockTimeout(error: unknown): boolean {
  for (let one = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth++) {
    const { code, errcode } = one as Error & { readonly code?: unknown; readonly errcode?: unknown }
    if (code === LOCK_NOT_AVAILABLE || (typeof errcode === 'number' && [5, 6].includes(errcode & 0xff))) return true
  }
  return false
}

/** Returns whether the output of a command says that a database lock was not acquired in time. */
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
      ...(Number.isFinite(task.tableLockTimeout) ? { lockTimeout: task.tableLockTimeout } : {}),
    })
    return opening
  }
  /**
   * Retries until the step times out. Between attempts the statement does not block the app's own
   * queries.
   */
  const query: StepDatabase['query'] = async (text, values) => {
    const session = await client()
    if (!inTransaction && CONCURRENTLY.test(text)) return concurrently(session, text, values)
    for (let attempt = 1; ; attempt++) {
      try {
        return await session.query(text, values)
      } catch (error) {
        // In a transaction everything failed; the whole step is retried.
        if (inTransaction || !isLockTimeout(error)) throw error
        await pause(
          ms(delayAfter({ jitter: 'full', initialDelay: 200, maxDelay: 3_000, random: Math.random }, attempt, 0)),
        )
      }
    }
  }
  /**
   * Runs a statement that blocks no other query while it waits for older transactions. A lock
   * timeout would make it leave an invalid index, which a second attempt with `if not exists` takes
   * for done; so would one that an interrupted release left.
   */
  const concurrently: (
    session: PgClient,
    ...of: Parameters<StepDatabase['query']>
  ) => ReturnType<StepDatabase['query']> = async (session, text, values) => {
    await session.query(setLockTimeout(Number.POSITIVE_INFINITY))
    try {
      const name = CREATED_INDEX.exec(text)?.[1]
      const { rows } =
        name === undefined
          ? { rows: [] }
          : await session.query('select from pg_index where indexrelid = to_regclass($1) and not indisvalid', [name])
      if (rows.length > 0) await session.query(`drop index concurrently if exists ${name}`)
      return await session.query(text, values)
    } finally {
      if (Number.isFinite(task.tableLockTimeout)) {
        await session.query(setLockTimeout(task.tableLockTimeout)).catch(() => {})
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

const CREATE_MARKS = `create table if not exists punctual_release_steps (
  app text not null, version text not null, step text not null, run text not null, at text not null default current_timestamp,
  primary key (app, version, step)
)`

type Values = Parameters<ReturnType<DatabaseSync['prepare']>['all']>

/**
 * Synchronous, because this process does nothing else. Waits up to `releaseTableLockTimeout` for a
 * lock.
 */
function openSqliteStep(task: StepTask, path: string): StepDatabase {
  let open: Promise<DatabaseSync> | null = null
  const database = (): Promise<DatabaseSync> => {
    open ??= import('node:sqlite').then(({ DatabaseSync }) => {
      const opened = new DatabaseSync(path)
      const wait = Number.isFinite(task.tableLockTimeout) ? Math.round(task.tableLockTimeout) : 2 ** 31 - 1
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
      await exec(CREATE_MARKS)
      const rows = await all(
        'insert into punctual_release_steps (app, version, step, run) values (?, ?, ?, ?) on conflict do nothing returning step',
        [task.app, task.version, task.name, run],
      )
      return rows.length > 0
    },
    unmark: async () => {
      await exec(CREATE_MARKS)
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
