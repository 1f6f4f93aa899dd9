import { nearestName } from '../errors/check-options.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import { RUNTIME_SETTINGS } from '../settings/overlay.ts'
import type { SettingChange } from './arbiter-control.ts'
import type { Reply } from './pending-requests.ts'

const MAX_NAMES = 30

/** `requestTimeout = 20s (set), was 30s`. */
export function formatSettingChange({ name, value, before, after }: SettingChange): string {
  const was = before === null || before === after ? '' : `, was ${before}`
  if (value === null) return `${name} = ${after ?? 'the default of the app'} (no longer set)${was}`
  return `${name} = ${value} (set)${was}`
}

export function formatUnsaved(error: Error): string {
  return `could not save the change, so it applies until the arbiter stops: ${error.message}`
}

export interface ReplySummary {
  readonly confirmed: readonly number[]
  readonly problems: readonly ReplyProblem[]
  /** Where the change is in effect, as one line or none. */
  readonly lines: readonly string[]
}

/** A worker that has not confirmed a change. */
export interface ReplyProblem {
  readonly worker: number
  readonly reason: 'no-answer' | 'refused'
  readonly message: string
}

/** Summarizes the replies of all workers; of each worker the worst reply counts. */
export function summarizeReplies(all: readonly ReadonlyMap<number, Reply>[], timeout: Milliseconds): ReplySummary {
  const confirmed = new Set<number>()
  const problems = new Map<number, ReplyProblem>()
  for (const [worker, reply] of all.flatMap((replies) => [...replies])) {
    if (reply === 'exited') continue
    if (reply === 'timed-out') {
      const message = `worker ${worker} did not confirm within ${formatElapsed(timeout)}; it applies the change as soon as it is unblocked`
      problems.set(worker, { worker, reason: 'no-answer', message })
    } else if (reply.ok) {
      confirmed.add(worker)
    } else {
      problems.set(worker, { worker, reason: 'refused', message: `worker ${worker} refused the value: ${reply.why}` })
    }
  }
  const well = [...confirmed].filter((worker) => !problems.has(worker)).sort((a, b) => a - b)
  const who = well.length === 1 ? `worker ${well[0]}` : `workers ${well.join(', ')}`
  return {
    confirmed: well,
    problems: [...problems.values()].sort((a, b) => a.worker - b.worker),
    lines: well.length === 0 ? [] : [`in effect in ${who}`],
  }
}

/** The error for a name that is neither a setting nor declared by any worker. */
export function unknownName(name: string, declared: readonly string[]): PunctualError {
  const nearest = nearestName(name, [...RUNTIME_SETTINGS, ...declared])
  const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`
  const details = { name, nearest: nearest ?? null }
  if (!name.includes('.')) {
    const known = `; settings that can be changed at run time: ${RUNTIME_SETTINGS.join(', ')}`
    return new PunctualError('PUNCTUAL_SETTINGS_INVALID', `${name} is not a setting${hint || known}`, { details })
  }
  const more = declared.length > MAX_NAMES ? `, and ${declared.length - MAX_NAMES} more` : ''
  const known =
    declared.length === 0
      ? 'the app declares no values'
      : `values that the app declares: ${declared.slice(0, MAX_NAMES).join(', ')}${more}`
  return new PunctualError(
    'PUNCTUAL_SETTINGS_INVALID',
    `no worker declares ${name}${hint}\n  ${known}\n  --force sets it for workers that declare it later`,
    { details },
  )
}
