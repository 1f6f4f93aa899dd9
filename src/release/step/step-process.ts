// The entry of the process in which one step of a release runs. It leads a process group of its own, with everything that the step starts.

import { spawn } from 'node:child_process'
import { inspect } from 'node:util'
import { loadConfigFile } from '../../settings/config-file.ts'
import type { FromStep, StepEnd, StepTask, ToStep } from '../messages.ts'
import type { ReleaseContext, ReleaseStep, ReleaseWork } from '../release-config.ts'
import { isLockTimeout, openStepDatabase, type StepDatabase } from './step-database.ts'

const abort = new AbortController()

function say(message: FromStep): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve()
    else process.send(message, () => resolve())
  })
}

// Whoever releases has died, and the lock with it: nothing of this may go on.
process.on('disconnect', () => process.kill(-process.pid, 'SIGKILL'))

// Meant for what the step has started; a function has its signal, and until the SIGKILL that follows to heed it.
process.on('SIGTERM', () => {})

process.on('message', (message: ToStep) => {
  if (message.type === 'abort') return abort.abort(new Error(message.why))
  // What waits for nothing any more is to end, and not to be kept by this channel.
  process.channel?.unref()
  const { task } = message
  const work =
    task.command === null
      ? runFunction(task, abort.signal, (line) => void say({ type: 'log', message: line }))
      : runCommand(task.command)
  work
    .catch(
      (error: unknown): StepEnd => ({
        outcome: 'failed',
        why: tell(error),
        failure: { reason: 'failed' },
        locked: false,
      }),
    )
    .then(async (end) => {
      process.off('beforeExit', unsettled)
      await say({ type: 'ended', end })
      process.removeAllListeners('disconnect')
      // What the function has left open must not keep the release.
      process.exit(0)
    })
})

function unsettled(): void {
  const why = 'its process had nothing left to wait for, and the function had not settled'
  void say({ type: 'ended', end: { outcome: 'failed', why, failure: { reason: 'unsettled' }, locked: false } }).then(
    () => process.exit(0),
  )
}

process.on('beforeExit', unsettled)

function tell(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** Runs a command in the shell, in this process' group and with its environment and output. */
export function runCommand(command: string): Promise<StepEnd> {
  return new Promise((resolve) => {
    const child = spawn(command, { shell: true, stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('error', (error) =>
      resolve({ outcome: 'failed', why: error.message, failure: { reason: 'failed' }, locked: false }),
    )
    child.on('exit', (code, signal) => {
      if (code === 0) resolve({ outcome: 'done' })
      else {
        const why = signal === null ? `exit code ${code}` : `ended by ${signal}`
        resolve({ outcome: 'failed', why, failure: { reason: 'failed', exitCode: code, signal }, locked: false })
      }
    })
  })
}

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
  return lines.filter((line) => !/^\s+at .*(node:internal|\/step\/step-process\.)/.test(line)).join('\n')
}
