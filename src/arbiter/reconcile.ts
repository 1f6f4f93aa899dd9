import { EXIT } from '../errors/codes.ts'
import { ms } from '../resilience/duration.ts'
import type { Action } from './events.ts'
import type { State, WorkerState } from './state.ts'

/**
 * Compares the workers that exist with those that are wanted and returns the actions that bring
 * them together. It runs after every event and reads the state alone, not the event, so that any
 * fault is corrected the next time.
 */
export function reconcile(state: State, at: number): Action[] {
  if (state.phase === 'stopping') return finishStop(state)
  if (state.phase === 'stopped') return []
  const { reload, wanted, releasing } = state
  // The first generation waits for its release steps.
  if (releasing?.generation === state.generation) return []
  if (reload === null) return [...drainReplaced(state), ...dropSurplus(state), ...spawnMissing(state, wanted, at)]
  // Until the new generation serves, the old one must: workers that it loses are replaced.
  const kept = spawnMissing(state, Math.min(wanted, reload.keepServing), at)
  return releasing === null ? [...kept, ...spawnGeneration(state, reload.generation, at)] : kept
}

/** Asks a worker to finish its requests and exit, within `stopTimeout`. */
export function drain(state: State, worker: WorkerState, why: string): Action[] {
  if (worker.life === 'draining' || worker.endReason !== null) return []
  worker.life = 'draining'
  return [
    { type: 'clear-timer', timer: { of: 'boot', worker: worker.id } },
    { type: 'clear-timer', timer: { of: 'listen', worker: worker.id } },
    { type: 'drain', worker: worker.id, why },
    { type: 'set-timer', timer: { of: 'stop', worker: worker.id }, after: state.settings.stopTimeout },
  ]
}

/**
 * Lowers a limit by up to `recycleJitter` of itself, so that workers started together do not reach
 * it together. The generator is Mulberry32 (Tommy Ettinger, public domain); its state is part of
 * the arbiter's state so that a decision can be replayed.
 */
export function withJitter(state: State, limit: number): number {
  if (!Number.isFinite(limit)) return limit
  state.random = (state.random + 0x6d2b79f5) | 0
  let t = Math.imul(state.random ^ (state.random >>> 15), 1 | state.random)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  const random = ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  return limit * (1 - state.settings.recycleJitter * random)
}

/** The workers of the serving generation that neither drain nor are about to end. */
function staying(state: State): WorkerState[] {
  return state.workers.filter(
    ({ generation, life, endReason }) => generation === state.generation && life !== 'draining' && endReason === null,
  )
}

/** Drains a worker that is to be replaced, once its replacement serves. */
function drainReplaced(state: State): Action[] {
  const actions: Action[] = []
  for (const worker of staying(state)) {
    if (worker.recycling === null) continue
    const serving = staying(state).filter(({ recycling, life }) => recycling === null && life === 'ready').length
    const replacement = state.workers.find(({ replaces }) => replaces === worker.id)
    if (replacement?.life === 'ready' || serving >= state.wanted) {
      actions.push(...drain(state, worker, worker.recycling.reason))
    }
  }
  return actions
}

/** Drains the surplus after scaling down, those that serve least first. */
function dropSurplus(state: State): Action[] {
  const keep = staying(state).filter(({ recycling }) => recycling === null)
  const order: Record<WorkerState['life'], number> = {
    spawned: 0,
    booting: 1,
    'not-listening': 2,
    stalled: 3,
    draining: 4,
    ready: 5,
  }
  return keep
    .sort((a, b) => order[a.life] - order[b.life] || b.id - a.id)
    .slice(0, Math.max(0, keep.length - state.wanted))
    .flatMap((worker) => drain(state, worker, 'scaled down'))
}

function spawnMissing(state: State, wanted: number, at: number): Action[] {
  // A worker that is about to end counts until it has exited: the delay before the next one
  // depends on how it exits.
  const present = state.workers.filter(({ generation, life }) => generation === state.generation && life !== 'draining')
  const missing = wanted - present.filter(({ recycling }) => recycling === null).length
  if (missing <= 0) return []
  if (at < state.nextSpawnAt) {
    return [{ type: 'set-timer', timer: { of: 'spawn' }, after: ms(state.nextSpawnAt - at) }]
  }
  const unreplaced = present.filter(
    ({ id, recycling }) => recycling !== null && !state.workers.some(({ replaces }) => replaces === id),
  )
  return Array.from({ length: missing }, () =>
    spawn(state, state.generation, unreplaced.shift()?.id ?? null, at),
  ).flat()
}

function spawnGeneration(state: State, generation: number, at: number): Action[] {
  const missing = state.wanted - state.workers.filter((worker) => worker.generation === generation).length
  return Array.from({ length: Math.max(0, missing) }, () => spawn(state, generation, null, at)).flat()
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
    recycling: null,
    replaces,
    spawnedAt: at,
    readyAt: null,
    settled: false,
    bootMs: null,
    heartbeatAt: at,
    vitals: null,
    frozen: false,
    endReason: null,
    waitingFor: [],
    readyAnswer: null,
    childCommand: null,
    failure: null,
    requestLimit: Math.ceil(withJitter(state, settings.maxRequests)),
    lifetimeLimit: withJitter(state, settings.maxLifetime),
    memorySamples: 0,
    memorySampledAt: at,
    memoryOverSince: at,
    wasBelowMemory: false,
  })
  return [
    { type: 'spawn', worker: id, generation, replaces },
    { type: 'set-timer', timer: { of: 'boot', worker: id }, after: settings.bootTimeout },
  ]
}

function finishStop(state: State): Action[] {
  // An aborted release still has a step to kill and a lock to release.
  if (state.workers.length > 0 || state.releasing !== null) return []
  state.phase = 'stopped'
  const { stopFailures: failures, exit, stopCommands } = state
  const { code, why } = exit ?? { code: EXIT.stopped, why: 'stopped' }
  const failed = failures.length > 0
  const replies = stopCommands.map((command): Action => {
    return failed
      ? { type: 'reply', command, ok: false, message: formatStopFailures(failures), details: { failures } }
      : { type: 'reply', command, ok: true, message: 'stopped' }
  })
  if (!failed) return [...replies, { type: 'exit', code, why }]
  return [...replies, { type: 'exit', code: code === EXIT.stopped ? EXIT.failed : code, why, failures }]
}

/** `stopped, but a worker failed while it was shutting down: worker 2 (pid 71): exit code 1`. */
export function formatStopFailures(failures: readonly string[]): string {
  const count = failures.length === 1 ? 'a worker' : `${failures.length} workers`
  return `stopped, but the shutdown of ${count} failed: ${failures.join('; ')}`
}
