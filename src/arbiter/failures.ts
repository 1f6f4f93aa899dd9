import type { RestartReason } from '../diagnostics/events.ts'
import type { State, WorkerState } from './state.ts'

/**
 * Counts a failure and sets the delay before the next worker is started: exponential from `restartDelayMin` to `restartDelayMax`,
 * from the start again after `restartReset` without a failure.
 *
 * Workers that fall together (the machine ran out of memory, a database went away) are one failure, not one each: only a
 * worker that was started after the last counted failure shows that starting again does not help.
 *
 * @returns true when this makes it a crash loop
 */
export function countFailure(state: State, worker: WorkerState, reason: RestartReason, at: number): boolean {
  const { restartDelayMin, restartDelayMax, restartReset, crashLimit, crashWindow } = state.settings
  state.restarts[reason] = (state.restarts[reason] ?? 0) + 1

  const sameBurst = worker.spawnedAt < state.lastFailureAt
  if (sameBurst) return false
  // The delay itself is no health.
  if (at - state.spawnNotBefore >= restartReset) state.delayLevel = 0

  state.lastFailureAt = at
  const delay = Math.min(restartDelayMax, restartDelayMin * 2 ** Math.min(state.delayLevel, 30))
  state.delayLevel++
  state.spawnNotBefore = at + delay
  state.failures = [...state.failures.filter((failure) => at - failure.at < crashWindow), { at, reason }]
  return state.failures.length >= crashLimit
}

/** The failures within the crash window by reason, the most frequent first. */
export function countReasons({ failures }: State): Record<string, number> {
  const reasons: Record<string, number> = {}
  for (const { reason } of failures) reasons[reason] = (reasons[reason] ?? 0) + 1
  return Object.fromEntries(Object.entries(reasons).sort(([, a], [, b]) => b - a))
}
