import { type Milliseconds, tellDuration } from '../wait/duration.ts'
import type { Reply } from './asks.ts'

/** `requestDeadline = 20s (set), 30s before`. */
export function tellChange(name: string, value: string | null, before: string | null, after: string | null): string {
  const was = before === null || before === after ? '' : `, ${before} before`
  if (value === null) return `${name} = ${after ?? 'as the app has it'} (no longer set)${was}`
  return `${name} = ${value} (set)${was}`
}

export interface ToldReplies {
  readonly confirmed: readonly string[]
  readonly problems: readonly string[]
  readonly unconfirmed: readonly number[]
}

/** What the workers said, each of them once, the worst of what it said. */
export function tellReplies(all: readonly ReadonlyMap<number, Reply>[], limit: Milliseconds): ToldReplies {
  const confirmed = new Set<number>()
  const problems = new Map<number, string>()
  for (const [worker, reply] of all.flatMap((replies) => [...replies])) {
    if (reply === 'left') continue
    if (reply === 'silent') {
      problems.set(
        worker,
        `worker ${worker} has not answered within ${tellDuration(limit)}; it takes it as soon as it turns again`,
      )
    } else if (reply.ok) {
      confirmed.add(worker)
    } else {
      problems.set(worker, `worker ${worker} has a problem with it: ${reply.why}`)
    }
  }
  const well = [...confirmed].filter((worker) => !problems.has(worker)).sort((a, b) => a - b)
  const who = well.length === 1 ? `worker ${well[0]}` : `workers ${well.join(', ')}`
  return {
    confirmed: well.length === 0 ? [] : [`in force in ${who}`],
    problems: [...problems.values()],
    unconfirmed: [...problems.keys()].sort((a, b) => a - b),
  }
}
