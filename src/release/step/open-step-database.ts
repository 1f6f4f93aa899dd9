import type { StepTask } from '../messages.ts'
import { openPostgresStep } from './postgres-step.ts'
import { openSqliteStep } from './sqlite-step.ts'
import type { StepDatabase } from './step-database.ts'

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
