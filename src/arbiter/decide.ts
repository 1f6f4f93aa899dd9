import { formatDuration } from '../resilience/duration.ts'
import type { Action } from './action.ts'
import { beginRelease } from './begin-release.ts'
import { beginServing } from './begin-serving.ts'
import { changeSettings } from './change-settings.ts'
import { obeyCommand, obeySignal } from './commands.ts'
import type { Event, Timer } from './event.ts'
import { exited, failed } from './exits.ts'
import { reconcile } from './reconcile.ts'
import { released } from './released.ts'
import { adoptGeneration } from './reload.ts'
import type { State, WorkerState } from './state.ts'
import { heard, ticked } from './vital-signs.ts'

export interface Decision {
  readonly state: State
  readonly actions: readonly Action[]
}

/**
 * What an arbiter does about an event. Pure: the same state and event give the same decision, nothing is read but the two, and
 * the state that was passed in stays as it was.
 */
export function decide(before: State, event: Event): Decision {
  const state = structuredClone(before)
  const actions = [
    ...react(state, event),
    ...beginServing(state, event.at),
    ...adoptGeneration(state, event.at),
    ...reconcile(state, event.at),
  ]
  return { state, actions }
}

function react(state: State, event: Event): Action[] {
  if (state.phase === 'stopped') return []
  switch (event.type) {
    case 'start':
      // Else a stop of this process before its first tick would pass for a silence of the workers.
      state.tickedAt = event.at
      if (state.releases === 'always') return beginRelease(state, state.generation, event.at)
      return [{ type: 'announce', what: { of: 'starting', workers: state.wanted } }]
    case 'released':
      return released(state, event)
    case 'tick':
      return ticked(state, event.at)
    case 'signal':
      return obeySignal(state, event.signal, event.at)
    case 'command':
      return obeyCommand(state, event.command, event.id, event.at)
    case 'settings':
      return changeSettings(state, event.settings, event.at)
    case 'timer':
      return rang(state, event.timer)
  }
  const worker = state.workers.find(({ id }) => id === event.worker)
  // It has left already; what it said before is still under way.
  if (worker === undefined) return []
  switch (event.type) {
    case 'spawned':
      worker.pid = event.pid
      worker.beatAt = event.at
      return []
    case 'spawn-failed':
      worker.lastWords = event.why
      return failed(state, worker, 'spawn', event.at)
    case 'exited':
      return exited(state, worker, event.code, event.signal, event.at)
    case 'told':
      return heard(state, worker, event.message, event.at)
  }
}

/** A limit has run out. */
function rang(state: State, timer: Timer): Action[] {
  if (timer.of === 'spawn') return []
  const worker = state.workers.find(({ id }) => id === timer.worker)
  if (worker === undefined || worker.dying !== null) return []
  return timer.of === 'boot' ? bootLimitPassed(state, worker) : stopLimitPassed(worker)
}

function bootLimitPassed(state: State, worker: WorkerState): Action[] {
  if (worker.life !== 'spawned' && worker.life !== 'booting') return []
  // Whoever steps through a boot with a debugger takes the time it takes.
  if (worker.vitals?.debugged === true) {
    return [{ type: 'set-timer', timer: { of: 'boot', worker: worker.id }, after: state.settings.bootTimeout }]
  }
  worker.dying = 'boot'
  worker.lastWords ??= `it was not ready within the boot limit of ${formatDuration(state.settings.bootTimeout)}`
  return [{ type: 'kill', worker: worker.id, why: 'boot', gently: true }]
}

function stopLimitPassed(worker: WorkerState): Action[] {
  worker.dying = 'stop-timeout'
  return [{ type: 'kill', worker: worker.id, why: 'stop-timeout', gently: true }]
}
