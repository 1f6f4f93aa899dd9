import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import type { Reply } from './asks.ts'
import type { SettingChange } from './settings-control.ts'

/** `requestTimeout = 20s (set), 30s before`. */
export function tellChange({ name, value, before, after }: SettingChange): string {
  const was = before === null || before === after ? '' : `, ${before} before`
  if (value === null) return `${name} = ${after ?? 'as the app has it'} (no longer set)${was}`
  return `${name} = ${value} (set)${was}`
}

export interface ToldReplies {
  readonly confirmed: readonly number[]
  readonly problems: readonly ReplyProblem[]
  /** In force where, in no or one line. */
  readonly lines: readonly string[]
}

/** A worker that has not confirmed a change. */
export interface ReplyProblem {
  readonly worker: number
  readonly reason: 'no-answer' | 'refused'
  readonly message: string
}

/** What the workers said, each of them once, the worst of what it said. */
export function tellReplies(all: readonly ReadonlyMap<number, Reply>[], limit: Milliseconds): ToldReplies {
  const confirmed = new Set<number>()
  const problems = new Map<number, ReplyProblem>()
  for (const [worker, reply] of all.flatMap((replies) => [...replies])) {
    if (reply === 'left') continue
    if (reply === 'silent') {
      const message = `worker ${worker} has not answered within ${formatElapsed(limit)}; it takes it as soon as it turns again`
      problems.set(worker, { worker, reason: 'no-answer', message })
    } else if (reply.ok) {
      confirmed.add(worker)
    } else {
      const message = `worker ${worker} has a problem with it: ${reply.why}`
      problems.set(worker, { worker, reason: 'refused', message })
    }
  }
  const well = [...confirmed].filter((worker) => !problems.has(worker)).sort((a, b) => a - b)
  const who = well.length === 1 ? `worker ${well[0]}` : `workers ${well.join(', ')}`
  return {
    confirmed: well,
    problems: [...problems.values()].sort((a, b) => a.worker - b.worker),
    lines: well.length === 0 ? [] : [`in force in ${who}`],
  }
}

export function tellUnsaved(error: Error): string {
  return `it holds until this arbiter stops, but not longer: it cannot be written down (${error.message})`
}
