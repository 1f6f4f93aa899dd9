import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import type { PlannedStep } from '../settings/release-config.ts'
import { ReleaseError } from './release-error.ts'
import type { ReleaseTools } from './release-tools.ts'
import { runStep, type StepResult } from './step/run-step.ts'

/**
 * Runs a step of the plan, or its roll-back. Never rejects.
 *
 * @param run id of the record
 */
export function runPlannedStep(
  { request, plan, app, version, signal, log }: ReleaseTools,
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
