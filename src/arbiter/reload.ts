import type { RestartReason } from '../diagnostics/events.ts'
import type { Action } from './action.ts'
import { beginRelease } from './begin-release.ts'
import { drain } from './reconcile.ts'
import type { State } from './state.ts'

/** Begins the next reload that waits, if none is under way. */
export function beginReload(state: State, at: number): Action[] {
  if (state.reload !== null || state.phase !== 'running') return []
  const command = state.reloadQueue.shift()
  if (command === undefined) return []
  const generation = state.nextGeneration++
  state.reload = { generation, startedAt: at, command, beside: state.wanted }
  const announced: Action = { type: 'announce', what: { of: 'reloading', generation } }
  return state.releases === 'never' ? [announced] : [announced, ...beginRelease(state, generation, at)]
}

/** A worker that has been ready for so long has not merely listened and then thrown. */
const SETTLED_AFTER = 1_000

/** Once all workers of the new generation are ready, and have stayed so for a second, it is the one that serves, and the old ones leave. */
export function adoptGeneration(state: State, at: number): Action[] {
  const { reload } = state
  if (reload === null || state.phase !== 'running') return []
  const ready = state.workers.filter(({ generation, life }) => generation === reload.generation && life === 'ready')
  const settled = ready.filter(({ readyAt }) => readyAt !== null && at - readyAt >= SETTLED_AFTER)
  if (settled.length < state.wanted) return []

  state.reload = null
  state.generation = reload.generation
  const tookMs = at - reload.startedAt
  const old = state.workers.filter(({ generation }) => generation !== reload.generation)
  return [
    { type: 'announce', what: { of: 'reloaded', generation: reload.generation, tookMs } },
    ...reply(reload.command, true, `generation ${reload.generation} serves, with ${ready.length} workers`),
    ...old.flatMap((worker) => drain(state, worker, 'reload')),
    ...beginReload(state, at),
  ]
}

/** Why a worker of a new generation failed. */
export interface BootFailure {
  readonly reason: RestartReason
  readonly why: string
  /** Null where its process could not be started. */
  readonly exit: { readonly code: number | null; readonly signal: string | null } | null
}

/** The new generation cannot boot: it is dropped, and the old one keeps serving. */
export function dropGeneration(state: State, failure: BootFailure): Action[] {
  const { reason, why } = failure
  const { reload } = state
  if (reload === null) return []
  state.reload = null
  const actions: Action[] = [
    { type: 'announce', what: { of: 'reload-failed', generation: reload.generation, reason, why } },
    ...reply(
      reload.command,
      false,
      `generation ${reload.generation} did not boot (${why}); generation ${state.generation} keeps serving`,
      { generation: reload.generation, serving: state.generation, ...failure },
    ),
  ]
  for (const worker of state.workers) {
    if (worker.generation === reload.generation) actions.push(...drain(state, worker, 'reload failed'))
  }
  return actions
}

export function reply(
  command: number | null,
  ok: boolean,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): Action[] {
  return command === null ? [] : [{ type: 'reply', command, ok, message, ...(details && { details }) }]
}
