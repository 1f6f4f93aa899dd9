// The entry of the process that runs one step of a release. It leads a process group of its own.

import { spawn } from 'node:child_process'
import { inspect } from 'node:util'
import { loadConfigFile } from '../../settings/config-file.ts'
import type { FromStep, StepEnd, StepTask, ToStep } from '../messages.ts'
import type { ReleaseContext, ReleaseStep, ReleaseWork } from '../release-config.ts'
import { isLockTimeout, openStepDatabase, type StepDatabase } from './step-database.ts'

const abort = new AbortController()

function send(message: FromStep): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve()
    else process.send(message, () => resolve())
  })
}

// The release process died and lost the lock: nothing of this step may continue.
process.on('disconnect', () => process.kill(-process.pid, 'SIGKILL'))

// For the processes that the step started. A function has its signal, and time until SIGKILL.
process.on('SIGTERM', () => {})

process.on('message', (message: ToStep) => {
  if (message.type === 'abort') return abort.abort(new Error(message.why))
  // The channel must not keep the process alive when the step waits for nothing.
  process.channel?.unref()
  const { task } = message
  const work =
    task.command === null
      ? runFunction(task, abort.signal, (line) => void send({ type: 'log', message: line }))
      : runCommand(task.command)
  work
    .catch(
      (error: unknown): StepEnd => ({
        outcome: 'failed',
        why: formatError(error),
        failure: { reason: 'failed' },
        locked: false,
      }),
    )
    .then(async (end) => {
      process.off('beforeExit', unsettled)
      await send({ type: 'ended', end })
      process.removeAllListeners('disconnect')
      // What the function left open must not delay the release.
      process.exit(0)
    })
})

function unsettled(): void {
  const why = 'its process had nothing left to do, but its promise was still pending'
  void send({ type: 'ended', end: { outcome: 'failed', why, failure: { reason: 'unsettled' }, locked: false } }).then(
    () => process.exit(0),
  )
}

process.on('beforeExit', unsettled)

function formatError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** Runs a shell command with the process group, environment and output of this process. */
function runCommand(command: string): Promise<StepEnd> {
  return new Promise((resolve) => {
    const child = spawn(command, { shell: true, stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('error', (error) =>
      resolve({ outcome: 'failed', why: error.message, failure: { reason: 'failed' }, locked: false }),
    )
    child.on('exit', (code, signal) => {
      if (code === 0) resolve({ outcome: 'done' })
      else {
        const why = signal === null ? `exit code ${code}` : `killed by ${signal}`
        resolve({ outcome: 'failed', why, failure: { reason: 'failed', exitCode: code, signal }, locked: false })
      }
    })
  })
}

/**
 * Calls the function of a step, from the current config file; in a transaction if it is
 * transactional.
 */
async function runFunction(task: StepTask, signal: AbortSignal, log: (line: string) => void): Promise<StepEnd> {
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
    if (task.transactional) return await inTransaction(database, task, () => work(context))
    await work(context)
    return { outcome: 'done' }
  } catch (error) {
    const why = error instanceof Error ? stackOf(error) : `threw ${inspect(error)}`
    const code = (error as { readonly code?: unknown } | null | undefined)?.code
    const failure = { reason: 'failed', ...(typeof code === 'string' ? { errorCode: code } : {}) } as const
    return { outcome: 'failed', why, failure, locked: isLockTimeout(error) }
  } finally {
    await database.close()
  }
}

async function findFunction({ configFile, cwd, name, action }: StepTask): Promise<Exclude<ReleaseWork, string>> {
  const file = await loadConfigFile({ cwd, named: configFile })
  const steps = (file?.values.release ?? []) as readonly ReleaseStep[]
  const work = steps.find((step) => step.name === name)?.[action]
  if (typeof work !== 'function')
    throw new Error(`${configFile} no longer has a function "${action}" in the step "${name}"`)
  return work
}

/** Commits the mark together with the work that it marks: both are applied, or neither. */
async function inTransaction(database: StepDatabase, task: StepTask, work: () => unknown): Promise<StepEnd> {
  await database.begin()
  try {
    if (task.action === 'run' && task.markFor !== null && !(await database.mark(task.markFor))) {
      await database.rollback()
      return { outcome: 'already-done' }
    }
    await work()
    if (task.action === 'rollback') await database.unmark()
    await database.commit()
    return { outcome: 'done' }
  } catch (error) {
    await database.rollback().catch(() => {})
    throw error
  }
}

/** Omits the stack frames that every step has. */
function stackOf({ stack, message }: Error): string {
  const lines = (stack ?? message).split('\n')
  return lines.filter((line) => !/^\s+at .*(node:internal|\/step\/step-process\.)/.test(line)).join('\n')
}
