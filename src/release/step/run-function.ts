import { inspect } from 'node:util'
import { loadConfigFile } from '../../settings/config-file.ts'
import type { ReleaseContext, ReleaseStep, ReleaseWork } from '../../settings/release-config.ts'
import type { StepEnd, StepTask } from '../messages.ts'
import { isLockTimeout } from './lock-timeout.ts'
import { openStepDatabase } from './open-step-database.ts'
import type { StepDatabase } from './step-database.ts'

/** Calls a step's function, from the config file as it is now, in a transaction where that was asked for. */
export async function runFunction(task: StepTask, signal: AbortSignal, log: (line: string) => void): Promise<StepEnd> {
  const work = await findFunction(task)
  const database = openStepDatabase(task)
  const context: ReleaseContext = {
    name: task.name,
    version: task.version,
    directory: task.cwd,
    attempt: task.attempt,
    signal,
    log,
    query: (text, values = []) => database.query(text, values),
  }
  try {
    return task.transactional
      ? await inTransaction(database, task, () => work(context))
      : await plainly(() => work(context))
  } catch (error) {
    const why = error instanceof Error ? theirStack(error) : `it threw ${inspect(error)}`
    const code = (error as { readonly code?: unknown } | null | undefined)?.code
    const failure = { reason: 'failed', ...(typeof code === 'string' ? { errorCode: code } : {}) } as const
    return { outcome: 'failed', why, failure, locked: isLockTimeout(error) }
  } finally {
    await database.close()
  }
}

async function findFunction({ configFile, cwd, name, form }: StepTask): Promise<Exclude<ReleaseWork, string>> {
  const file = await loadConfigFile({ cwd, named: configFile })
  const steps = (file?.values.release ?? []) as readonly ReleaseStep[]
  const work = steps.find((step) => step.name === name)?.[form]
  if (typeof work !== 'function')
    throw new Error(`${configFile} has no function "${form}" of the step "${name}" any more`)
  return work
}

async function plainly(work: () => unknown): Promise<StepEnd> {
  await work()
  return { outcome: 'done' }
}

/** The mark goes with what it is a mark of: either both are there afterwards, or neither. */
async function inTransaction(database: StepDatabase, task: StepTask, work: () => unknown): Promise<StepEnd> {
  await database.begin()
  try {
    if (task.form === 'run' && task.markFor !== null && !(await database.mark(task.markFor))) {
      await database.rollback()
      return { outcome: 'already-done' }
    }
    await work()
    if (task.form === 'rollback') await database.unmark()
    await database.commit()
    return { outcome: 'done' }
  } catch (error) {
    await database.rollback().catch(() => {})
    throw error
  }
}

/** Without the frames that every step has. */
function theirStack({ stack, message }: Error): string {
  const lines = (stack ?? message).split('\n')
  return lines.filter((line) => !/^\s+at .*(node:internal|\/step\/run-function\.)/.test(line)).join('\n')
}
