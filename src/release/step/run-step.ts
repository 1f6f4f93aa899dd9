import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ReleaseFailure } from '../../diagnostics/release-report.ts'
import { delayAfter } from '../../resilience/back-off.ts'
import { after, monotonicNow, pause } from '../../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../../resilience/duration.ts'
import { killTree, TREE_VARIABLE } from '../kill-tree.ts'
import type { FromStep, StepEnd, StepTask, ToStep } from '../messages.ts'
import { OutputTail } from '../output-tail.ts'
import type { PlannedStep } from '../release-config.ts'
import type { ReleaseEnvironment } from '../release-environment.ts'
import { failureOf, ReleaseError } from '../release-error.ts'
import { printsLockTimeout } from './step-database.ts'

/**
 * Runs a step of the plan, or its roll-back. Never rejects.
 *
 * @param run id of the record
 */
export function runPlannedStep(
  { request, plan, app, version, signal, log }: ReleaseEnvironment,
  run: string,
  step: PlannedStep,
  form: 'run' | 'rollback',
  limit: Milliseconds,
): Promise<StepResult> {
  const work = form === 'run' ? step.run : step.rollback
  const what = form === 'run' ? `release step ${step.name}` : `roll-back of ${step.name}`
  const fields = { step: step.name, phase: form === 'run' ? 'step' : 'rollback' }
  return runStep(
    {
      configFile: request.configFile,
      cwd: request.cwd,
      name: step.name,
      form,
      command: typeof work === 'string' ? work : null,
      transactional: step.transactional && typeof work === 'function',
      app: app.name,
      version: version.name,
      markFor: version.certain ? run : null,
      database: plan.lock,
      applicationName: app.stepSessions,
      tableLock: request.settings.releaseTableLockTimeout,
    },
    {
      limit,
      signal,
      onLine: (line) => log('info', { event: 'release-step-output', ...fields, line }, `${what}: ${line}`),
      onRetry: (attempt) =>
        log(
          'warn',
          { event: 'release-step-retrying', ...fields, attempt },
          `${what}: a lock of the database was not to be had; it gives way and is tried again (attempt ${attempt})`,
        ),
    },
  )
}

/** Why a step, or its roll-back, is not done, how long it took and the end of what it printed. */
export function stepError(name: string, phase: 'step' | 'rollback', result: StepResult): ReleaseError {
  const { outcome, why, failure, tail, durationMs } = result
  const how = outcome === 'failed' ? 'failed' : outcome === 'timed-out' ? 'did not end' : 'was aborted'
  const [first = '', ...rest] = why.split('\n')
  const stack = rest.length === 0 ? '' : `\n${indent(rest.join('\n'))}`
  const output = tail === '' ? '' : `\nthe end of its output:\n${indent(tail)}`
  const front = phase === 'step' ? '' : 'the roll-back of '
  return new ReleaseError(
    `${front}release step ${name} ${how} after ${formatElapsed(durationMs)}: ${first}${stack}${output}`,
    { reason: 'failed', ...failure, phase, step: name },
  )
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ')
}

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const ENTRY = fileURLToPath(new URL(`./step-process.${extension}`, import.meta.url))
/** Lines of a step's output that go into the log. */
const MOST_LINES = 1_000

export interface RunStepOptions {
  readonly limit: Milliseconds
  /** Ends the step, for the reason it is aborted with. */
  readonly signal: AbortSignal
  /** A line that the step has printed or logged. */
  readonly onLine: (line: string) => void
  /** Called before the step is tried again for want of a lock. */
  readonly onRetry: (attempt: number) => void
}

export interface StepResult {
  readonly outcome: 'done' | 'already-done' | 'failed' | 'timed-out' | 'aborted'
  /** Why it is not done; empty if it is. */
  readonly why: string
  /** The same in fields; null if it is done. */
  readonly failure: Omit<ReleaseFailure, 'phase'> | null
  readonly tail: string
  readonly attempts: number
  readonly durationMs: number
}

/**
 * Runs a step in a process group of its own, ends it at its limit with everything it has started, and tries it again while all that fails is that
 * a lock of the database was not to be had. Never rejects.
 */
async function runStep(task: Omit<StepTask, 'attempt'>, options: RunStepOptions): Promise<StepResult> {
  const start = monotonicNow()
  const end = start + options.limit
  let lines = 0
  const onLine = (line: string): void => {
    lines++
    if (lines <= MOST_LINES) options.onLine(line)
    if (lines === MOST_LINES) options.onLine('(what follows is not shown)')
  }
  for (let attempt = 1; ; attempt++) {
    const once = await runOnce(
      { ...task, attempt },
      { ...options, onLine, limit: ms(Math.max(1, end - monotonicNow())) },
    )
    const durationMs = Math.round(monotonicNow() - start)
    const delay = delayAfter({ jitter: 'full', base: 500, most: 5_000, random: Math.random }, attempt, 0)
    if (!once.locked || options.signal.aborted || monotonicNow() + delay >= end) {
      const why =
        once.outcome === 'timed-out' ? `it was ended at its limit of ${formatElapsed(options.limit)}` : once.why
      const { outcome, failure, tail } = once
      return { outcome, why, failure, tail, attempts: attempt, durationMs }
    }
    options.onRetry(attempt + 1)
    await pause(ms(delay))
  }
}

type Once = Pick<StepResult, 'outcome' | 'why' | 'failure' | 'tail'> & { readonly locked: boolean }

function runOnce(task: StepTask, options: RunStepOptions): Promise<Once> {
  const mark = randomUUID()
  const tail = new OutputTail(options.onLine)
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...process.execArgv, ENTRY], {
      cwd: task.cwd,
      detached: true,
      env: environment(task, mark),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    })
    let said: StepEnd | null = null
    let cut: 'timed-out' | 'aborted' | null = null
    let ending: Promise<void> | null = null
    const endIt = (outcome: 'timed-out' | 'aborted', why: string): void => {
      if (cut !== null || said !== null) return
      cut = outcome
      if (child.connected) child.send({ type: 'abort', why } satisfies ToStep, () => {})
      ending = killTree(child, mark, true)
    }
    const onAbort = (): void => endIt('aborted', String((options.signal.reason as Error).message))
    const cancel = after(options.limit, () => endIt('timed-out', 'its limit has passed'))
    options.signal.addEventListener('abort', onAbort, { once: true })
    const finish = async (code: number | null, signal: string | null): Promise<void> => {
      cancel()
      options.signal.removeEventListener('abort', onAbort)
      // What it has left running in the background would outlive the lock.
      await (ending ?? killTree(child, mark, false))
      child.stdout?.destroy()
      child.stderr?.destroy()
      tail.end()
      resolve(outcomeOf(task, said, cut, options.signal, tail.text, { exitCode: code, signal }))
    }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (chunk: string) => tail.add(chunk, name))
      child[name]?.on('error', () => {})
    }
    child.on('message', (message: FromStep) => {
      if (message.type === 'log') for (const line of message.message.split('\n')) tail.add(`${line}\n`, 'log')
      else said ??= message.end
    })
    child.on('error', (error) => {
      said ??= {
        outcome: 'failed',
        why: `its process could not be started: ${error.message}`,
        failure: { reason: 'failed' },
        locked: false,
      }
      if (child.pid === undefined) void finish(null, null)
    })
    // Its output may be held open by what it has started; a moment later it has all been read.
    child.on('exit', (code, signal) => after(ms(50), () => void finish(code, signal)))
    if (child.pid !== undefined) child.send({ type: 'task', task } satisfies ToStep, () => {})
    if (options.signal.aborted) onAbort()
  })
}

function outcomeOf(
  task: StepTask,
  said: StepEnd | null,
  cut: 'timed-out' | 'aborted' | null,
  signal: AbortSignal,
  tail: string,
  exit: { readonly exitCode: number | null; readonly signal: string | null },
): Once {
  if (cut === 'timed-out') return { outcome: cut, why: '', failure: { reason: 'timed-out' }, tail, locked: false }
  if (cut !== null) {
    const failure = { reason: 'aborted', cause: failureOf(signal.reason) } as const
    return { outcome: cut, why: (signal.reason as Error).message, failure, tail, locked: false }
  }
  if (said === null) {
    const why = `its process ended (${exit.signal ?? `exit code ${exit.exitCode}`})`
    return { outcome: 'failed', why, failure: { reason: 'failed', ...exit }, tail, locked: false }
  }
  if (said.outcome !== 'failed') return { outcome: said.outcome, why: '', failure: null, tail, locked: false }
  return {
    outcome: 'failed',
    why: said.why,
    failure: said.failure,
    tail,
    locked: said.locked || (task.command !== null && printsLockTimeout(tail)),
  }
}

function environment(task: StepTask, mark: string): NodeJS.ProcessEnv {
  const { env } = process
  const lockTimeout = Number.isFinite(task.tableLock) ? [`-c lock_timeout=${Math.round(task.tableLock)}`] : []
  return {
    ...env,
    [TREE_VARIABLE]: mark,
    PATH: `${join(task.cwd, 'node_modules/.bin')}${delimiter}${env.PATH ?? ''}`,
    RELEASE_VERSION: task.version,
    // For whatever speaks PostgreSQL, `pg` and libpq alike.
    PGAPPNAME: task.applicationName,
    PGOPTIONS: [...(env.PGOPTIONS ? [env.PGOPTIONS] : []), ...lockTimeout].join(' '),
  }
}
