import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ReleaseFailure } from '../../diagnostics/release-report.ts'
import { redact } from '../../redaction/redaction.ts'
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
import { StepIndexes } from './step-indexes.ts'

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const ENTRY = fileURLToPath(new URL(`./step-process.${extension}`, import.meta.url))
/** Lines of a step's output that are logged. */
const MAX_LOGGED_LINES = 1_000
/**
 * Between the exit of a step and the end of its output, which a process it started may hold open.
 */
const OUTPUT_GRACE = ms(50)

/** How a step, or its rollback, ended. */
export interface StepResult {
  readonly outcome: 'done' | 'already-done' | 'failed' | 'timed-out' | 'aborted'
  /** Why it failed; empty if it did not. */
  readonly why: string
  /** The facts of `why`; null if it did not fail. */
  readonly failure: Omit<ReleaseFailure, 'phase'> | null
  readonly tail: string
  readonly attempts: number
  readonly durationMs: number
}

/**
 * Runs a step of the plan, or its rollback, in a process group of its own. Kills it with every
 * process it started at the timeout, and retries it as long as it only fails to acquire a database
 * lock. Never rejects.
 *
 * @param run id of the record
 */
export async function runStep(
  environment: ReleaseEnvironment,
  run: string,
  step: PlannedStep,
  action: 'run' | 'rollback',
  timeout: Milliseconds,
): Promise<StepResult> {
  const { request, plan, app, version, signal, log, records } = environment
  const work = action === 'run' ? step.run : step.rollback
  const front = action === 'run' ? `release step ${step.name}` : `rollback of ${step.name}`
  const fields = { step: step.name, phase: action === 'run' ? 'step' : 'rollback' }
  const task: Omit<StepTask, 'attempt' | 'hasStartOptions'> = {
    configFile: request.configFile,
    cwd: request.cwd,
    name: step.name,
    action,
    command: typeof work === 'string' ? work : null,
    transactional: step.transactional && typeof work === 'function',
    app: app.name,
    version: version.name,
    markFor: version.certain ? run : null,
    database: plan.lock,
    applicationName: app.stepSessions,
    tableLockTimeout: request.settings.releaseTableLockTimeout,
  }
  let lines = 0
  const logLine = (line: string): void => {
    lines++
    if (lines > MAX_LOGGED_LINES) return
    log('info', { event: 'release-step-output', ...fields, line }, `${front}: ${line}`)
    if (lines < MAX_LOGGED_LINES) return
    log('info', { event: 'release-step-output-cut', ...fields, lines }, `${front}: further output is not logged`)
  }
  const start = monotonicNow()
  const end = start + timeout
  const indexes = new StepIndexes(records)
  await indexes.begin()
  let [tableLockTimeout, hasStartOptions] = [task.tableLockTimeout, true]
  for (let attempt = 1; ; attempt++) {
    const left = ms(Math.max(1, end - monotonicNow()))
    const result = await indexes.checked(
      await runOnce({ ...task, tableLockTimeout, hasStartOptions, attempt }, left, signal, logLine),
      task.command ?? '',
    )
    const { outcome, failure, tail } = result
    if (outcome === 'failed' && hasStartOptions && printsRefusedOptions(`${tail}\n${result.why}`)) {
      hasStartOptions = false
      log(
        'warn',
        { event: 'release-step-without-lock-timeout', ...fields, attempt: attempt + 1 },
        `${front}: its connection pooler refuses lock_timeout at the start of a connection; running it without`,
      )
      continue
    }
    const locked = result.locked && (await indexes.dropNew(ms(Math.max(1, end - monotonicNow()))))
    // It has interrupted a statement that must not be interrupted.
    if (locked && indexes.hasDropped) tableLockTimeout = Number.POSITIVE_INFINITY
    const delay = delayAfter({ jitter: 'full', initialDelay: 500, maxDelay: 5_000, random: Math.random }, attempt, 0)
    if (!locked || signal.aborted || monotonicNow() + delay >= end) {
      const why = outcome === 'timed-out' ? `timed out after ${formatElapsed(timeout)}` : result.why
      const texts = { why: redact(why), tail: redact(tail) }
      return { outcome, ...texts, failure, attempts: attempt, durationMs: Math.round(monotonicNow() - start) }
    }
    log(
      'warn',
      { event: 'release-step-retrying', ...fields, attempt: attempt + 1 },
      `${front}: could not acquire a database lock; retrying (attempt ${attempt + 1})`,
    )
    await pause(ms(delay))
  }
}

/**
 * Returns the error of a step, or of its rollback, that failed: why, after how long, and the end of
 * its output.
 */
export function stepError(name: string, phase: 'step' | 'rollback', result: StepResult): ReleaseError {
  const { outcome, why, failure, tail, durationMs } = result
  const [first = '', ...rest] = why.split('\n')
  const stack = rest.length === 0 ? '' : `\n${indent(rest.join('\n'))}`
  const output = tail === '' ? '' : `\nend of its output:\n${indent(tail)}`
  const front = phase === 'step' ? 'release step' : 'the rollback of release step'
  const how =
    outcome === 'timed-out'
      ? first
      : `${outcome === 'aborted' ? 'was aborted' : 'failed'} after ${formatElapsed(durationMs)}: ${first}`
  return new ReleaseError(`${front} ${name} ${how}${stack}${output}`, {
    reason: 'failed',
    ...failure,
    phase,
    step: name,
  })
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ')
}

type Attempt = Pick<StepResult, 'outcome' | 'why' | 'failure' | 'tail'> & { readonly locked: boolean }

function runOnce(
  task: StepTask,
  timeout: Milliseconds,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<Attempt> {
  const mark = randomUUID()
  const tail = new OutputTail(onLine)
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...process.execArgv, ENTRY], {
      cwd: task.cwd,
      detached: true,
      env: stepVariables(task, mark),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    })
    let reported: StepEnd | null = null
    let killed: { readonly outcome: 'timed-out' | 'aborted'; readonly done: Promise<void> } | null = null
    const kill = (outcome: 'timed-out' | 'aborted', why: string): void => {
      if (killed !== null || reported !== null) return
      if (child.connected) child.send({ type: 'abort', why } satisfies ToStep, () => {})
      killed = { outcome, done: killTree(child, mark, true) }
    }
    const onAbort = (): void => kill('aborted', (signal.reason as Error).message)
    const cancel = after(timeout, () => kill('timed-out', 'the step timed out'))
    signal.addEventListener('abort', onAbort, { once: true })
    const finish = async (exitCode: number | null, exitSignal: string | null): Promise<void> => {
      cancel()
      signal.removeEventListener('abort', onAbort)
      // A process that it left running in the background would outlive the lock.
      await (killed?.done ?? killTree(child, mark, false))
      child.stdout?.destroy()
      child.stderr?.destroy()
      tail.end()
      if (killed !== null) resolve(killedAttempt(killed.outcome, signal, tail.text))
      else resolve(endedAttempt(task, reported, tail.text, { exitCode, signal: exitSignal }))
    }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (chunk: string) => tail.add(chunk, name))
      child[name]?.on('error', () => {})
    }
    child.on('message', (message: FromStep) => {
      if (message.type === 'log') for (const line of message.message.split('\n')) tail.add(`${line}\n`, 'log')
      else reported ??= message.end
    })
    child.on('error', (error) => {
      const why = `could not start its process: ${error.message}`
      reported ??= { outcome: 'failed', why, failure: { reason: 'failed' }, locked: false }
      if (child.pid === undefined) void finish(null, null)
    })
    child.on('exit', (code, exitSignal) => after(OUTPUT_GRACE, () => void finish(code, exitSignal)))
    if (child.pid !== undefined) child.send({ type: 'task', task } satisfies ToStep, () => {})
    if (signal.aborted) onAbort()
  })
}

function killedAttempt(outcome: 'timed-out' | 'aborted', signal: AbortSignal, tail: string): Attempt {
  if (outcome === 'timed-out') return { outcome, why: '', failure: { reason: outcome }, tail, locked: false }
  const failure = { reason: outcome, cause: failureOf(signal.reason) }
  return { outcome, why: (signal.reason as Error).message, failure, tail, locked: false }
}

function endedAttempt(
  task: StepTask,
  reported: StepEnd | null,
  tail: string,
  exit: { readonly exitCode: number | null; readonly signal: string | null },
): Attempt {
  if (reported === null) {
    const why = `its process exited (${exit.signal ?? `exit code ${exit.exitCode}`})`
    return { outcome: 'failed', why, failure: { reason: 'failed', ...exit }, tail, locked: false }
  }
  if (reported.outcome !== 'failed') return { outcome: reported.outcome, why: '', failure: null, tail, locked: false }
  const locked = reported.locked || (task.command !== null && printsLockTimeout(tail))
  return { outcome: 'failed', why: reported.why, failure: reported.failure, tail, locked }
}

/** Messages of PgBouncer, Neon and RDS Proxy about `options` in a startup packet. */
function printsRefusedOptions(output: string): boolean {
  return /unsupported startup parameter|command-line options|startup options? (?:is|are) not supported/i.test(output)
}

function stepVariables(task: StepTask, mark: string): NodeJS.ProcessEnv {
  const { env } = process
  const { tableLockTimeout: timeout, hasStartOptions } = task
  const lockTimeout = hasStartOptions && Number.isFinite(timeout) ? [`-c lock_timeout=${Math.round(timeout)}`] : []
  return {
    ...env,
    [TREE_VARIABLE]: mark,
    PATH: `${join(task.cwd, 'node_modules/.bin')}${delimiter}${env.PATH ?? ''}`,
    RELEASE_VERSION: task.version,
    // Read by every PostgreSQL client: `pg` and libpq alike.
    PGAPPNAME: task.applicationName,
    // Empty would be sent, too, and refused by a pooler.
    ...(env.PGOPTIONS || lockTimeout.length > 0
      ? { PGOPTIONS: [...(env.PGOPTIONS ? [env.PGOPTIONS] : []), ...lockTimeout].join(' ') }
      : {}),
  }
}
