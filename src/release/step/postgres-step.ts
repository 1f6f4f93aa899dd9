import { delayAfter } from '../../resilience/back-off.ts'
import { pause } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import type { StepTask } from '../messages.ts'
import { endSession, openSession, type PgClient } from '../pg-client.ts'
import { isLockTimeout } from './lock-timeout.ts'
import type { StepDatabase } from './step-database.ts'

export function openPostgresStep(task: StepTask, url: string): StepDatabase {
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
