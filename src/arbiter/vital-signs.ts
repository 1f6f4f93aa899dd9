import type { FromMain, FromWatchdog, Vitals } from '../ipc/messages.ts'
import type { Action } from './action.ts'
import type { RecycleReason, State, WorkerState } from './state.ts'

/** Without a beat for this long (and for longer than a stall is reported), nothing of the process turns any more. */
const SILENT_AFTER = 2_000
/** A gap between two ticks beyond this was our own: the machine slept, or this process was stopped. */
const OWN_GAP = 2_000
const MEMORY_SAMPLE_EVERY = 1_000

/** A worker has spoken. */
export function heard(state: State, worker: WorkerState, message: FromMain | FromWatchdog, at: number): Action[] {
  switch (message.type) {
    case 'beat':
      return beat(state, worker, message.vitals, at)
    case 'ready':
      return becameReady(state, worker, message, at)
    case 'boot-failed':
    case 'crashing':
      worker.dying ??= message.type === 'crashing' ? 'crash' : 'boot'
      worker.lastWords = `${message.error.name}: ${message.error.message}`
      return []
    case 'stall-reported':
      if (worker.life === 'ready') worker.life = 'stalled'
      return []
    case 'stall-ended':
      if (worker.life === 'stalled') worker.life = 'ready'
      return []
    case 'stall-interrupted':
      worker.tainted = true
      worker.leaving ??= { reason: 'stall-interrupted' }
      if (worker.life === 'stalled') worker.life = 'ready'
      return []
    case 'killing':
      worker.dying ??= message.why === 'boot' ? 'boot' : 'stall'
      return []
    default:
      return []
  }
}

/** Looks for workers that have fallen silent. */
export function ticked(state: State, at: number): Action[] {
  const gap = at - state.tickedAt
  state.tickedAt = at
  const actions: Action[] = []
  for (const worker of state.workers) {
    // While we did not run we could not hear either.
    if (gap > OWN_GAP && Number.isFinite(gap)) worker.beatAt += gap
    if (worker.pid === null || worker.dying !== null) continue
    const silentFor = at - worker.beatAt
    if (
      !worker.frozen &&
      worker.life !== 'spawned' &&
      silentFor >= Math.max(SILENT_AFTER, state.settings.stallReportAfter)
    ) {
      worker.frozen = true
      if (worker.life === 'ready') worker.life = 'stalled'
      actions.push({ type: 'announce', what: { of: 'frozen', worker: worker.id, forMs: silentFor } })
    }
    if (silentFor >= state.settings.frozenKillAfter && worker.life !== 'spawned') {
      worker.dying = 'frozen'
      actions.push({ type: 'kill', worker: worker.id, why: 'frozen', gently: false })
    }
  }
  return actions
}

function becameReady(
  state: State,
  worker: WorkerState,
  message: Extract<FromMain, { type: 'ready' }>,
  at: number,
): Action[] {
  if (worker.life !== 'spawned' && worker.life !== 'booting') return []
  worker.life = 'ready'
  worker.readyAt = at
  // The watchdog thread may still be loading.
  worker.beatAt = at
  worker.bootMs = at - worker.spawnedAt
  state.address = message.address
  return [
    { type: 'clear-timer', timer: { of: 'boot', worker: worker.id } },
    {
      type: 'announce',
      what: { of: 'worker-ready', worker: worker.id, bootMs: worker.bootMs, replaces: worker.replaces },
    },
  ]
}

function beat(state: State, worker: WorkerState, vitals: Vitals, at: number): Action[] {
  worker.beatAt = at
  worker.vitals = vitals
  if (worker.life === 'spawned') worker.life = 'booting'
  const actions: Action[] = []
  // Not only at the end of a reported stall: one that was frozen beats again before its main thread has turned.
  if (worker.life === 'stalled' && vitals.heartbeatAgeMs < state.settings.stallReportAfter) worker.life = 'ready'
  if (worker.frozen) {
    worker.frozen = false
    actions.push({ type: 'announce', what: { of: 'thawed', worker: worker.id } })
  }
  const why = recycleReason(state, worker, vitals, at)
  if (why !== null && mayRecycle(state, worker)) {
    worker.leaving = why
    actions.push({ type: 'announce', what: { of: 'recycling', worker: worker.id, why } })
  }
  return actions
}

/** One at a time: a replacement boots beside those that serve, and costs what a boot costs. */
function mayRecycle(state: State, worker: WorkerState): boolean {
  return (
    worker.life === 'ready' &&
    worker.leaving === null &&
    state.phase === 'running' &&
    state.reload === null &&
    state.workers.every(({ leaving, life }) => leaving === null || life === 'draining')
  )
}

function recycleReason(state: State, worker: WorkerState, vitals: Vitals, at: number): RecycleReason | null {
  const { maxMemory, maxMemorySamples } = state.settings
  if (at - worker.memorySampledAt >= MEMORY_SAMPLE_EVERY) {
    worker.memorySampledAt = at
    worker.memorySamples = vitals.rss > maxMemory ? worker.memorySamples + 1 : 0
  }
  if (worker.memorySamples >= maxMemorySamples) {
    return { reason: 'memory', rss: vitals.rss, limit: maxMemory }
  }
  if (vitals.requests >= worker.requestLimit) return { reason: 'requests', requests: vitals.requests }
  if (worker.readyAt !== null && at - worker.readyAt >= worker.lifetimeLimit) return { reason: 'lifetime' }
  return null
}
