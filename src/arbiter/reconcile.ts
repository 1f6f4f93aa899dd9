import { ms } from '../resilience/duration.ts'
import type { Action } from './action.ts'
import { jittered } from './jitter.ts'
import type { State, WorkerState } from './state.ts'

/**
 * Compares what there is with what is wanted, and says what to do about it. It runs after every event and looks at the
 * state alone, never at how it came about: whatever goes wrong in whatever order, the next look mends it.
 */
export function reconcile(state: State, at: number): Action[] {
  if (state.phase === 'stopping') return finishStop(state)
  if (state.phase === 'stopped') return []
  const { reload, wanted, releasing } = state
  // What is to run once before anything serves has not ended.
  if (releasing?.generation === state.generation) return []
  if (reload === null) return [...drainReplaced(state), ...dropSurplus(state), ...spawnMissing(state, wanted, at)]
  // Until the new generation serves, the old one must: what it loses meanwhile is replaced.
  const kept = spawnMissing(state, Math.min(wanted, reload.beside), at)
  return releasing === null ? [...kept, ...spawnGeneration(state, reload.generation, at)] : kept
}

/** The workers that are to stay: of the serving generation, neither told to leave nor dying. */
function staying(state: State): WorkerState[] {
  return state.workers.filter(
    ({ generation, life, dying }) => generation === state.generation && life !== 'draining' && dying === null,
  )
}

/** Tells a worker to leave, and bounds how long that may take. */
export function drain(state: State, worker: WorkerState, why: string): Action[] {
  if (worker.life === 'draining' || worker.dying !== null) return []
  worker.life = 'draining'
  return [
    { type: 'clear-timer', timer: { of: 'boot', worker: worker.id } },
    { type: 'drain', worker: worker.id, why },
    { type: 'set-timer', timer: { of: 'stop', worker: worker.id }, after: state.settings.stopTimeout },
  ]
}

function spawn(state: State, generation: number, replaces: number | null, at: number): Action[] {
  const { settings } = state
  const id = state.nextWorker++
  state.workers.push({
    id,
    generation,
    pid: null,
    life: 'spawned',
    tainted: false,
    leaving: null,
    replaces,
    spawnedAt: at,
    readyAt: null,
    bootMs: null,
    beatAt: at,
    vitals: null,
    frozen: false,
    dying: null,
    lastWords: null,
    requestLimit: Math.ceil(jittered(state, settings.maxRequests)),
    lifetimeLimit: jittered(state, settings.maxLifetime),
    memorySamples: 0,
    memorySampledAt: at,
  })
  return [
    { type: 'spawn', worker: id, generation, replaces },
    { type: 'set-timer', timer: { of: 'boot', worker: id }, after: settings.bootTimeout },
  ]
}

/** A worker that is to leave goes once another serves in its place; never before. */
function drainReplaced(state: State): Action[] {
  const actions: Action[] = []
  for (const worker of staying(state)) {
    if (worker.leaving === null) continue
    const serving = staying(state).filter(({ leaving, life }) => leaving === null && life === 'ready').length
    const replacement = state.workers.find(({ replaces }) => replaces === worker.id)
    if (replacement?.life === 'ready' || serving >= state.wanted)
      actions.push(...drain(state, worker, worker.leaving.reason))
  }
  return actions
}

/** After a scaling down: those go first that serve least. */
function dropSurplus(state: State): Action[] {
  const keep = staying(state).filter(({ leaving }) => leaving === null)
  const order: Record<WorkerState['life'], number> = { spawned: 0, booting: 1, stalled: 2, draining: 3, ready: 4 }
  return keep
    .sort((a, b) => order[a.life] - order[b.life] || b.id - a.id)
    .slice(0, Math.max(0, keep.length - state.wanted))
    .flatMap((worker) => drain(state, worker, 'scaled down'))
}

function spawnMissing(state: State, wanted: number, at: number): Action[] {
  // One that dies counts until it has gone: only then is it known why, and how long to wait before the next.
  const there = state.workers.filter(({ generation, life }) => generation === state.generation && life !== 'draining')
  const missing = wanted - there.filter(({ leaving }) => leaving === null).length
  if (missing <= 0) return []
  if (at < state.spawnNotBefore) {
    return [{ type: 'set-timer', timer: { of: 'spawn' }, after: ms(state.spawnNotBefore - at) }]
  }
  const unreplaced = there.filter(
    ({ id, leaving }) => leaving !== null && !state.workers.some(({ replaces }) => replaces === id),
  )
  return Array.from({ length: missing }, () =>
    spawn(state, state.generation, unreplaced.shift()?.id ?? null, at),
  ).flat()
}

function spawnGeneration(state: State, generation: number, at: number): Action[] {
  const missing = state.wanted - state.workers.filter((worker) => worker.generation === generation).length
  return Array.from({ length: Math.max(0, missing) }, () => spawn(state, generation, null, at)).flat()
}

function finishStop(state: State): Action[] {
  // A release that is told to end still has a step to kill and a lock to give up.
  if (state.workers.length > 0 || state.releasing !== null) return []
  state.phase = 'stopped'
  const { code, why } = state.exit ?? { code: 0, why: 'stopped' }
  return [{ type: 'exit', code, why }]
}
