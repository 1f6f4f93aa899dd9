import type { DatabaseSync } from 'node:sqlite'
import type { StepTask } from '../messages.ts'
import type { StepDatabase } from './step-database.ts'

const MARKS = `create table if not exists punctual_release_steps (
  app text not null, version text not null, step text not null, run text not null, at text not null default current_timestamp,
  primary key (app, version, step)
)`

type Values = Parameters<ReturnType<DatabaseSync['prepare']>['all']>

/** Synchronous in this process, which does nothing else; a lock is waited for for `releaseTableLockTimeout`. */
export function openSqliteStep(task: StepTask, path: string): StepDatabase {
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
