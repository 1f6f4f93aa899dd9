import { EXIT } from '../errors/exit-codes.ts'
import type { Action } from './action.ts'
import type { Command, Event } from './event.ts'
import { drain } from './reconcile.ts'
import { beginReload, reply } from './reload.ts'
import type { State } from './state.ts'

type Signal = Extract<Event, { type: 'signal' }>['signal']

/** More workers than any machine has a use for; a slip of the finger (`scale 4000`) must not fork a machine to death. */
const MOST_WORKERS = 1_024

export function obeySignal(state: State, signal: Signal, at: number): Action[] {
  switch (signal) {
    case 'SIGHUP':
      // Of several HUPs during a reload one more reload is enough: it starts after the last of them.
      if (state.reloadQueue.includes(null)) return []
      return obeyReload(state, null, at)
    case 'SIGTTIN':
      return scale(state, state.wanted + 1)
    case 'SIGTTOU':
      return scale(state, state.wanted - 1)
    default:
      return state.phase === 'stopping' ? stopNow(state, `a second ${signal}`) : stop(state, signal)
  }
}

export function obeyCommand(state: State, command: Command, id: number, at: number): Action[] {
  if (command.name === 'stop') {
    if (state.phase === 'stopping') return reply(id, true, 'already stopping')
    return [...stop(state, 'punctual stop'), ...reply(id, true, `stopping ${state.workers.length} workers`)]
  }
  if (state.phase === 'stopping') return reply(id, false, 'the arbiter is stopping')
  if (command.name === 'reload') return obeyReload(state, id, at)

  const { change } = command
  const from = state.wanted
  const to = 'to' in change ? change.to : from + change.by
  if (!Number.isInteger(to) || to < 1 || to > MOST_WORKERS) {
    return reply(id, false, `${to} workers cannot be had: a number from 1 to ${MOST_WORKERS} can`)
  }
  return [...scale(state, to), ...reply(id, true, `${to} ${to === 1 ? 'worker' : 'workers'} wanted, ${from} before`)]
}

function obeyReload(state: State, command: number | null, at: number): Action[] {
  if (state.phase === 'starting') {
    // A signal gets no answer, so it is kept until the first generation serves.
    if (command === null) state.reloadQueue.push(null)
    return reply(command, false, 'the first generation is still starting')
  }
  if (state.phase !== 'running') return []
  state.reloadQueue.push(command)
  return beginReload(state, at)
}

function scale(state: State, to: number): Action[] {
  const from = state.wanted
  if (to === from || to < 1 || to > MOST_WORKERS || state.phase === 'stopping') return []
  state.wanted = to
  return [{ type: 'announce', what: { of: 'scaled', from, to } }]
}

/** Lets every worker drain; each has its own limits. */
function stop(state: State, why: string): Action[] {
  const actions = beginStop(state, why, false)
  for (const worker of state.workers) {
    // What does not serve yet has nothing to finish.
    if (worker.life === 'spawned' || worker.life === 'booting') actions.push(...kill(state, worker.id))
    // It leaves already, but in its own time.
    else if (worker.life === 'draining') actions.push({ type: 'drain', worker: worker.id, why })
    else actions.push(...drain(state, worker, why))
  }
  return actions
}

/** Ends every worker at once, with last answers. */
export function stopNow(state: State, why: string): Action[] {
  const actions = beginStop(state, why, true)
  for (const { id } of state.workers) actions.push(...kill(state, id))
  return actions
}

function beginStop(state: State, why: string, now: boolean): Action[] {
  const waiting = [...(state.reload === null ? [] : [state.reload.command]), ...state.reloadQueue]
  state.phase = 'stopping'
  state.reload = null
  state.reloadQueue = []
  state.exit ??= { code: EXIT.stopped, why }
  return [
    { type: 'announce', what: { of: 'stopping', why, now } },
    ...(state.releasing === null ? [] : ([{ type: 'abort-release', why }] satisfies Action[])),
    { type: 'clear-timer', timer: { of: 'spawn' } },
    ...waiting.flatMap((command) => reply(command, false, `the arbiter is stopping (${why})`)),
  ]
}

function kill(state: State, id: number): Action[] {
  const worker = state.workers.find((one) => one.id === id)
  if (worker === undefined || worker.dying !== null) return []
  worker.dying = 'stop-timeout'
  return [{ type: 'kill', worker: id, why: 'stop', gently: true }]
}
