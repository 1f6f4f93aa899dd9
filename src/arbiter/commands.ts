import { EXIT } from '../errors/codes.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { Action, Command, Event } from './events.ts'
import { drain } from './reconcile.ts'
import { NO_MEMORY_BACK_OFF, type RestartReason, type State } from './state.ts'

type Signal = Extract<Event, { type: 'signal' }>['signal']

/** Guards against typos: `scale 4000` must not fork a machine to death. */
const MAX_WORKERS = 1_024

export function handleSignal(state: State, signal: Signal, at: number): Action[] {
  switch (signal) {
    case 'SIGHUP':
      // Several SIGHUPs during a reload need one more reload, which starts after the last of them.
      if (state.reloadQueue.includes(null)) return []
      return reload(state, null, at)
    case 'SIGTTIN':
      return scale(state, state.wanted + 1)
    case 'SIGTTOU':
      return scale(state, state.wanted - 1)
    case 'SIGQUIT':
      return stopNow(state, signal)
    default:
      return state.phase === 'stopping' ? stopNow(state, `a second ${signal}`) : stop(state, signal)
  }
}

export function handleCommand(state: State, command: Command, id: number, at: number): Action[] {
  if (command.name === 'stop') {
    // Answered when all workers have exited.
    state.stopCommands.push(id)
    return state.phase === 'stopping' ? [] : stop(state, 'punctual stop')
  }
  if (state.phase === 'stopping') return reply(id, false, 'the arbiter is stopping')
  if (command.name === 'reload') return reload(state, id, at)

  const { change } = command
  const from = state.wanted
  const to = 'to' in change ? change.to : from + change.by
  if (!Number.isInteger(to) || to < 1 || to > MAX_WORKERS) {
    return reply(id, false, `the number of workers must be between 1 and ${MAX_WORKERS}, got ${to}`, { workers: to })
  }
  return [...scale(state, to), ...reply(id, true, `scaled from ${from} to ${to} workers`)]
}

function scale(state: State, to: number): Action[] {
  const from = state.wanted
  if (to === from || to < 1 || to > MAX_WORKERS || state.phase === 'stopping') return []
  state.wanted = to
  return [{ type: 'announce', what: { of: 'scaled', from, to } }]
}

/** Drains every worker, after `stopDelay` if one serves. */
function stop(state: State, why: string): Action[] {
  const { stopDelay } = state.settings
  const isServing = state.workers.some(({ life }) => life === 'ready' || life === 'stalled')
  const delay = isServing ? stopDelay : ms(0)
  const actions = beginStop(state, why, false, delay)
  if (delay === 0) return [...actions, ...drainAll(state, why)]
  return [...actions, { type: 'set-timer', timer: { of: 'stop-delay' }, after: delay }]
}

/** Refuses new clients, and drains every worker. */
export function drainAll(state: State, why: string): Action[] {
  const actions: Action[] = [{ type: 'stop-listening' }]
  for (const worker of state.workers) {
    // It drains already, but at the pace of a reload.
    if (worker.life === 'draining') actions.push({ type: 'drain', worker: worker.id, why })
    else actions.push(...drain(state, worker, why))
  }
  return actions
}

/** Kills every worker at once, with emergency responses. */
export function stopNow(state: State, why: string): Action[] {
  const actions = [...beginStop(state, why, true, ms(0)), { type: 'stop-listening' } as const]
  for (const { id } of state.workers) actions.push(...kill(state, id))
  return actions
}

function beginStop(state: State, why: string, now: boolean, delayMs: Milliseconds): Action[] {
  const waiting = [...(state.reload === null ? [] : [state.reload.command]), ...state.reloadQueue]
  state.phase = 'stopping'
  state.reload = null
  state.reloadQueue = []
  state.exit ??= { code: EXIT.stopped, why }
  return [
    { type: 'announce', what: { of: 'stopping', why, now, delayMs } },
    ...(state.releasing === null ? [] : ([{ type: 'abort-release', why }] satisfies Action[])),
    { type: 'clear-timer', timer: { of: 'spawn' } },
    { type: 'clear-timer', timer: { of: 'stop-delay' } },
    ...waiting.flatMap((command) => reply(command, false, `the arbiter is stopping (${why})`)),
  ]
}

function kill(state: State, id: number): Action[] {
  const worker = state.workers.find((one) => one.id === id)
  if (worker === undefined || worker.endReason !== null) return []
  worker.endReason = 'stop'
  return [{ type: 'kill', worker: id, why: 'stop', gently: true }]
}

/**
 * Completes the start: the first generation serves once the wanted number of workers is ready.
 * Checked after every event, since one worker may stall while the last becomes ready.
 */
export function completeStart(state: State, at: number): Action[] {
  if (state.phase !== 'starting' || state.address === null) return []
  const serving = state.workers.filter(({ life }) => life === 'ready').length
  if (serving < state.wanted) return []
  state.phase = 'running'
  return [
    {
      type: 'announce',
      what: { of: 'running', generation: state.generation, workers: serving, address: state.address },
    },
    ...startNextReload(state, at),
  ]
}

function reload(state: State, command: number | null, at: number): Action[] {
  if (state.phase === 'starting') {
    // A signal gets no reply, so it is kept until the first generation serves.
    if (command === null) state.reloadQueue.push(null)
    return reply(command, false, 'the first generation is still starting')
  }
  if (state.phase !== 'running') return []
  state.reloadQueue.push(command)
  return startNextReload(state, at)
}

/** Starts the next queued reload unless one is in progress. */
export function startNextReload(state: State, at: number): Action[] {
  if (state.reload !== null || state.phase !== 'running') return []
  const command = state.reloadQueue.shift()
  if (command === undefined) return []
  const generation = state.nextGeneration++
  state.reload = { generation, startedAt: at, command, keepServing: state.wanted }
  const announced: Action = { type: 'announce', what: { of: 'reloading', generation } }
  return state.releases === 'never' ? [announced] : [announced, ...startRelease(state, generation, at)]
}

/**
 * Completes a reload: when all workers of the new generation have settled, that generation serves
 * and the old one drains.
 */
export function completeReload(state: State, at: number): Action[] {
  const { reload } = state
  if (reload === null || state.phase !== 'running') return []
  const ready = state.workers.filter(({ generation, life }) => generation === reload.generation && life === 'ready')
  if (ready.filter(({ settled }) => settled).length < state.wanted) return []

  state.reload = null
  state.generation = reload.generation
  state.memoryBackOff = NO_MEMORY_BACK_OFF
  const tookMs = Math.round(at - reload.startedAt)
  const old = state.workers.filter(({ generation }) => generation !== reload.generation)
  return [
    { type: 'announce', what: { of: 'reloaded', generation: reload.generation, tookMs } },
    ...reply(
      reload.command,
      true,
      `generation ${reload.generation} serves with ${ready.length} ${ready.length === 1 ? 'worker' : 'workers'}`,
    ),
    ...old.flatMap((worker) => drain(state, worker, 'reload')),
    ...startNextReload(state, at),
  ]
}

/** Why a worker of a new generation failed. */
export interface BootFailure {
  readonly reason: RestartReason
  readonly why: string
  /** Null where its process could not be started. */
  readonly exit: { readonly code: number | null; readonly signal: string | null } | null
}

/** Drops a new generation that cannot boot; the old one keeps serving. */
export function failReload(state: State, failure: BootFailure): Action[] {
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

/** Runs the release steps of a generation. Its workers are started after the `released` event. */
export function startRelease(state: State, generation: number, at: number): Action[] {
  state.releasing = { generation, startedAt: at }
  const serving = generation !== state.generation
  return [
    { type: 'announce', what: { of: 'releasing', generation } },
    { type: 'release', generation, serving },
  ]
}

/** Starts the generation whose release steps have succeeded, or drops it. */
export function handleReleaseEnd(
  state: State,
  { generation, ok, why, at }: Extract<Event, { type: 'released' }>,
): Action[] {
  const { releasing, reload } = state
  if (releasing?.generation !== generation) return []
  state.releasing = null
  // The release was aborted; the stop waits for this event.
  if (state.phase === 'stopping') return []
  if (ok) {
    const done: Action = { type: 'announce', what: { of: 'released', generation, message: why } }
    const starting: Action = { type: 'announce', what: { of: 'starting', workers: state.wanted } }
    return generation === state.generation ? [done, starting] : [done]
  }
  if (reload?.generation !== generation) {
    state.exit = { code: EXIT.releaseFailed, why }
    return [
      { type: 'announce', what: { of: 'release-failed', generation, why, serving: null } },
      ...stopNow(state, 'the release failed'),
    ]
  }
  state.reload = null
  const serving = state.generation
  return [
    { type: 'announce', what: { of: 'release-failed', generation, why, serving } },
    ...reply(
      reload.command,
      false,
      `${why}\ngeneration ${generation} was not started; generation ${serving} keeps serving`,
      { generation, serving, reason: 'release', why },
    ),
    ...startNextReload(state, at),
  ]
}

function reply(
  command: number | null,
  ok: boolean,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): Action[] {
  return command === null ? [] : [{ type: 'reply', command, ok, message, ...(details && { details }) }]
}
