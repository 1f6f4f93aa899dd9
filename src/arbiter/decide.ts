import { formatDuration, ms } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'
import {
  completeReload,
  completeStart,
  drainAll,
  handleCommand,
  handleReleaseEnd,
  handleSignal,
  startRelease,
} from './commands.ts'
import type { Action, Event, Timer } from './events.ts'
import { reconcile, withJitter } from './reconcile.ts'
import { NO_MEMORY_BACK_OFF, type State, type WorkerState } from './state.ts'
import {
  childAdvice,
  handleExit,
  handleFailure,
  handleListenTimeout,
  handleMessage,
  handleNotListening,
  handleTick,
} from './worker-events.ts'

export interface Decision {
  readonly state: State
  readonly actions: readonly Action[]
}

/**
 * Decides what the arbiter does about an event. Pure: the same state and event give the same
 * decision, nothing else is read, and the state that was passed in is not changed.
 */
export function decide(before: State, event: Event): Decision {
  const state = structuredClone(before)
  const actions = [
    ...react(state, event),
    ...completeStart(state, event.at),
    ...completeReload(state, event.at),
    ...reconcile(state, event.at),
  ]
  return { state, actions }
}

function react(state: State, event: Event): Action[] {
  if (state.phase === 'stopped') return []
  switch (event.type) {
    case 'start':
      // Otherwise a pause of this process before its first tick would count against the workers.
      state.lastTickAt = event.at
      if (state.releases === 'always') return startRelease(state, state.generation, event.at)
      return [{ type: 'announce', what: { of: 'starting', workers: state.wanted } }]
    case 'released':
      return handleReleaseEnd(state, event)
    case 'tick':
      return handleTick(state, event.at)
    case 'signal':
      return handleSignal(state, event.signal, event.at)
    case 'command':
      return handleCommand(state, event.command, event.id, event.at)
    case 'settings':
      return changeSettings(state, event.settings, event.at)
    case 'timer':
      return handleTimer(state, event.timer, event.at)
  }
  const worker = state.workers.find(({ id }) => id === event.worker)
  // It has exited; what it sent before arrives later.
  if (worker === undefined) return []
  switch (event.type) {
    case 'spawned':
      worker.pid = event.pid
      worker.heartbeatAt = event.at
      return []
    case 'spawn-failed':
      worker.failure = event.why
      return handleFailure(state, worker, 'spawn', event.at)
    case 'disconnected':
      return handleNotListening(worker, 0)
    case 'exited':
      return handleExit(state, worker, { code: event.code, signal: event.signal }, event.at)
    case 'message':
      return handleMessage(state, worker, event.message, event.at)
  }
}

function handleTimer(state: State, timer: Timer, at: number): Action[] {
  if (timer.of === 'spawn') return []
  if (timer.of === 'stop-delay') return state.phase === 'stopping' ? drainAll(state, 'stop') : []
  const worker = state.workers.find(({ id }) => id === timer.worker)
  if (worker === undefined || worker.endReason !== null) return []
  if (timer.of === 'boot') return handleBootTimeout(state, worker)
  if (timer.of === 'listen') return handleListenTimeout(state, worker, at)
  worker.endReason = 'stop-timeout'
  return [{ type: 'kill', worker: worker.id, why: 'stop-timeout', gently: true }]
}

function handleBootTimeout(state: State, worker: WorkerState): Action[] {
  if (!isBooting(worker)) return []
  const { bootTimeout, readyPath } = state.settings
  // A developer who steps through the boot with a debugger takes as long as they need.
  if (worker.vitals?.debugged === true) {
    return [{ type: 'set-timer', timer: { of: 'boot', worker: worker.id }, after: bootTimeout }]
  }
  worker.endReason = 'boot'
  const answer = worker.readyAnswer === null ? '' : `: ${readyPath} was answered with ${worker.readyAnswer}`
  const within = `within bootTimeout (${formatDuration(bootTimeout)})${answer}${childAdvice(worker)}`
  // With a path to ask, it may listen and give no answer.
  worker.failure ??=
    readyPath === ''
      ? `it did not listen ${within}; it must call listen(), or export a handler`
      : `it was not ready ${within}`
  return [{ type: 'kill', worker: worker.id, why: 'boot', gently: true }]
}

/**
 * The settings were changed at run time. Those that are read when needed apply from now on; what
 * was drawn or scheduled from them is renewed.
 */
function changeSettings(state: State, settings: Settings, at: number): Action[] {
  const before = state.settings
  state.settings = settings
  const { maxRequests, maxLifetime, recycleJitter, bootTimeout } = settings
  if (settings.maxMemory !== before.maxMemory) state.memoryBackOff = NO_MEMORY_BACK_OFF
  const jitterChanged = recycleJitter !== before.recycleJitter
  for (const worker of state.workers) {
    if (jitterChanged || maxRequests !== before.maxRequests) {
      worker.requestLimit = Math.ceil(withJitter(state, maxRequests))
    }
    if (jitterChanged || maxLifetime !== before.maxLifetime) worker.lifetimeLimit = withJitter(state, maxLifetime)
  }
  if (bootTimeout === before.bootTimeout) return []
  return state.workers.filter(isBooting).map(({ id, spawnedAt }) => ({
    type: 'set-timer',
    timer: { of: 'boot', worker: id },
    after: ms(Math.max(0, spawnedAt + bootTimeout - at)),
  }))
}

function isBooting({ life, endReason }: WorkerState): boolean {
  return (life === 'spawned' || life === 'booting') && endReason === null
}
