import { EXIT } from '../errors/codes.ts'
import { type FromMain, type FromWatchdog, FULL_HEAP, type Vitals } from '../ipc/messages.ts'
import { formatDuration, ms } from '../resilience/duration.ts'
import { type BootFailure, failReload, startNextReload, stopNow } from './commands.ts'
import type { Action } from './events.ts'
import { drain } from './reconcile.ts'
import { NO_MEMORY_BACK_OFF, type RecycleReason, type RestartReason, type State, type WorkerState } from './state.ts'

/** Without heartbeats for this long (and `stallReportAfter`) a process is frozen. */
const FROZEN_AFTER = 2_000
/** A longer gap between two ticks is the arbiter's own: the machine slept, or it was stopped. */
const OWN_GAP = 2_000
const MEMORY_SAMPLE_INTERVAL = 1_000
/** A worker that exceeds `maxMemory` within this time of being ready will do so again. */
const FRESH_FOR = 60_000
/** The delay before such a worker is replaced, and its maximum. */
const MEMORY_DELAY_MIN = 60_000
const MEMORY_DELAY_MAX = 3_600_000
/** How long a worker that serves may be without a server, in milliseconds. */
const RELISTEN_AFTER = 2_000

/** A worker has sent a message. */
export function handleMessage(
  state: State,
  worker: WorkerState,
  message: FromMain | FromWatchdog,
  at: number,
): Action[] {
  switch (message.type) {
    case 'heartbeat':
      return handleHeartbeat(state, worker, message.vitals, at)
    case 'ready':
      return handleReady(state, worker, message, at)
    case 'not-listening':
      // Without a request, it may have been ready only because of a probe for a free port.
      return handleNotListening(worker, message.served === 0 ? bootTimeLeft(state, worker, at) : 0)
    case 'drain-waiting':
    case 'lingering':
      worker.waitingFor = message.waitingFor
      return []
    case 'boot-failed':
    case 'crashing':
      worker.endReason ??= message.type === 'crashing' ? 'crash' : 'boot'
      worker.failure = `${message.error.name}: ${message.error.message}`
      return []
    case 'settled':
      worker.settled = true
      return []
    case 'not-ready':
      worker.readyAnswer = message.answer
      return []
    case 'child-started':
      worker.childCommand = message.command
      return []
    case 'stall-reported':
      if (worker.life === 'ready') worker.life = 'stalled'
      return []
    case 'stall-ended':
      if (worker.life === 'stalled') worker.life = 'ready'
      return []
    case 'stall-interrupted':
      worker.tainted = true
      worker.recycling ??= { reason: 'stall-interrupted' }
      if (worker.life === 'stalled') worker.life = 'ready'
      return []
    case 'killing':
      worker.endReason ??= message.why === 'boot' || message.why === 'stop' ? message.why : 'stall'
      return []
    default:
      return []
  }
}

/** Finds frozen workers. */
export function handleTick(state: State, at: number): Action[] {
  const gap = at - state.lastTickAt
  state.lastTickAt = at
  const actions: Action[] = []
  for (const worker of state.workers) {
    // The arbiter did not run, so it could not receive heartbeats.
    if (gap > OWN_GAP && Number.isFinite(gap)) worker.heartbeatAt += gap
    if (worker.pid === null || worker.endReason !== null || worker.life === 'spawned') continue
    // It was told to stop before its watchdog had started.
    if (worker.vitals === null && worker.life === 'draining') continue
    const silentFor = at - worker.heartbeatAt
    if (!worker.frozen && silentFor >= Math.max(FROZEN_AFTER, state.settings.stallReportAfter)) {
      worker.frozen = true
      if (worker.life === 'ready') worker.life = 'stalled'
      actions.push({ type: 'announce', what: { of: 'frozen', worker: worker.id, forMs: silentFor } })
    }
    if (silentFor >= state.settings.frozenKillAfter) {
      worker.endReason = 'frozen'
      actions.push({ type: 'kill', worker: worker.id, why: 'frozen', gently: false })
    }
  }
  return actions
}

function handleReady(
  state: State,
  worker: WorkerState,
  message: Extract<FromMain, { type: 'ready' }>,
  at: number,
): Action[] {
  if (worker.life === 'not-listening') {
    worker.life = 'ready'
    state.address = message.address
    return [{ type: 'clear-timer', timer: { of: 'listen', worker: worker.id } }]
  }
  if (worker.life !== 'spawned' && worker.life !== 'booting') return []
  worker.life = 'ready'
  worker.readyAt = at
  worker.wasBelowMemory = (worker.vitals?.rss ?? 0) <= state.settings.maxMemory
  // The watchdog thread may still be loading.
  worker.heartbeatAt = at
  worker.bootMs = Math.round(at - worker.spawnedAt)
  state.address = message.address
  return [
    { type: 'clear-timer', timer: { of: 'boot', worker: worker.id } },
    {
      type: 'announce',
      what: { of: 'worker-ready', worker: worker.id, bootMs: worker.bootMs, replaces: worker.replaces },
    },
  ]
}

/**
 * The app has closed its servers: the worker is not ready until it listens again, which it must
 * within `RELISTEN_AFTER`, or `atLeast` milliseconds.
 */
export function handleNotListening(worker: WorkerState, atLeast: number): Action[] {
  if (worker.life !== 'ready' && worker.life !== 'stalled') return []
  worker.life = 'not-listening'
  const after = ms(Math.max(RELISTEN_AFTER, atLeast))
  return [{ type: 'set-timer', timer: { of: 'listen', worker: worker.id }, after }]
}

function bootTimeLeft({ settings }: State, { spawnedAt }: WorkerState, at: number): number {
  return spawnedAt + settings.bootTimeout - at
}

/** It has not listened again: it is replaced, and drains, since it may have connections. */
export function handleListenTimeout(state: State, worker: WorkerState, at: number): Action[] {
  if (worker.life !== 'not-listening' || state.phase === 'stopping') return []
  worker.failure = 'its app closed its servers and did not listen again'
  return [...drain(state, worker, 'not listening'), ...failed(state, worker, 'not-listening', at, null)]
}

function handleHeartbeat(state: State, worker: WorkerState, vitals: Vitals, at: number): Action[] {
  worker.heartbeatAt = at
  worker.vitals = vitals
  if (worker.life === 'spawned') worker.life = 'booting'
  const actions: Action[] = []
  // Not only at `stall-ended`: a frozen worker sends heartbeats before its main thread runs again.
  if (worker.life === 'stalled' && vitals.heartbeatAgeMs < state.settings.stallReportAfter) worker.life = 'ready'
  if (worker.frozen) {
    worker.frozen = false
    actions.push({ type: 'announce', what: { of: 'unfrozen', worker: worker.id } })
  }
  sampleMemory(state, worker, vitals, at)
  if (!mayRecycle(state, worker)) return actions
  const why = recycleReason(state, worker, vitals, at)
  if (why !== null) {
    worker.recycling = why
    actions.push({ type: 'announce', what: { of: 'recycling', worker: worker.id, why } })
  }
  return [...actions, ...backOffForMemory(state, worker, vitals, at)]
}

/** One worker at a time: its replacement boots beside those that serve, which takes CPU time. */
function mayRecycle(state: State, worker: WorkerState): boolean {
  return (
    worker.life === 'ready' &&
    worker.recycling === null &&
    state.phase === 'running' &&
    state.reload === null &&
    state.workers.every(({ recycling, life }) => recycling === null || life === 'draining')
  )
}

function sampleMemory({ settings }: State, worker: WorkerState, { rss }: Vitals, at: number): void {
  if (at - worker.memorySampledAt < MEMORY_SAMPLE_INTERVAL) return
  worker.memorySampledAt = at
  worker.memorySamples = rss > settings.maxMemory ? worker.memorySamples + 1 : 0
  if (worker.memorySamples === 1) worker.memoryOverSince = at
  if (worker.memorySamples === 0) worker.wasBelowMemory = true
}

function recycleReason(state: State, worker: WorkerState, vitals: Vitals, at: number): RecycleReason | null {
  if (exceedsMemory(state, worker)) {
    const afterMs = staysBelowFor(worker)
    const isDue = afterMs >= FRESH_FOR || (state.memoryBackOff.level > 0 && at >= state.memoryBackOff.until)
    // The first worker that was below the limit may have been unlucky with its requests.
    const isFirst = state.memoryBackOff.level === 0 && worker.wasBelowMemory
    if (isDue || isFirst) return { reason: 'memory', rss: vitals.rss, limit: state.settings.maxMemory }
  }
  if (vitals.requests >= worker.requestLimit) return { reason: 'requests', requests: vitals.requests }
  if (worker.readyAt !== null && at - worker.readyAt >= worker.lifetimeLimit) return { reason: 'lifetime' }
  return null
}

function exceedsMemory({ settings }: State, { memorySamples }: WorkerState): boolean {
  return memorySamples >= settings.maxMemorySamples
}

/** How long the worker was ready and below the limit, in milliseconds. */
function staysBelowFor({ readyAt, memoryOverSince }: WorkerState): number {
  return readyAt === null ? 0 : Math.max(0, memoryOverSince - readyAt)
}

/**
 * A replacement that exceeds `maxMemory` as soon does not help: reports that once, and replaces
 * such workers ever more rarely.
 */
function backOffForMemory(state: State, worker: WorkerState, { rss }: Vitals, at: number): Action[] {
  if (!exceedsMemory(state, worker)) return []
  const { memoryBackOff: before, settings } = state
  const afterMs = staysBelowFor(worker)
  if (afterMs >= FRESH_FOR) {
    state.memoryBackOff = NO_MEMORY_BACK_OFF
    return []
  }
  const isReported = before.level > 0 || worker.recycling === null
  const grows = before.level === 0 || worker.recycling !== null
  const delay = Math.min(MEMORY_DELAY_MAX, MEMORY_DELAY_MIN * 2 ** before.level)
  const until = grows ? at + delay : before.until
  state.memoryBackOff = { level: Math.min(before.level + (grows ? 1 : 0), 10), until, isReported }
  if (before.isReported || !isReported) return []
  const facts = { rss, limit: settings.maxMemory, afterMs: Math.round(afterMs), nextInMs: Math.round(until - at) }
  return [{ type: 'announce', what: { of: 'max-memory-too-low', worker: worker.id, ...facts } }]
}

/** A worker's process has exited. */
export function handleExit(
  state: State,
  worker: WorkerState,
  exit: { readonly code: number | null; readonly signal: string | null },
  at: number,
): Action[] {
  const { id, pid, life } = worker
  const wasAsked = life === 'draining' || state.phase === 'stopping'
  const problem = wasAsked ? shutdownFailure(worker, exit, state.phase) : null
  const drained = life === 'draining' && worker.endReason === null && problem === null
  const actions: Action[] = [
    ...remove(state, worker),
    { type: 'announce', what: { of: 'worker-exited', worker: id, pid, drained, ...exit } },
  ]
  const how = exit.signal ?? `exit code ${exit.code}`
  if (wasAsked) {
    if (problem === null) return actions
    state.restarts[problem] = (state.restarts[problem] ?? 0) + 1
    if (state.phase === 'stopping') state.stopFailures.push(formatShutdownFailure(state, worker, problem, how))
    return actions
  }
  worker.failure ??= worker.readyAt === null ? `it exited before it listened (${how})${childAdvice(worker)}` : how
  return [...actions, ...handleFailure(state, worker, restartReason(worker, exit), at, exit)]
}

/** An entry may start the app in a child process, as launchers do. */
export function childAdvice({ childCommand }: WorkerState): string {
  if (childCommand === null) return ''
  return `; it started a child process (${childCommand}): if that is the app, run it itself`
}

/** A worker exited, or could not be started, without having been asked to exit. */
export function handleFailure(
  state: State,
  worker: WorkerState,
  reason: RestartReason,
  at: number,
  exit: BootFailure['exit'] = null,
): Action[] {
  return [...remove(state, worker), ...failed(state, worker, reason, at, exit)]
}

/** What follows from the failure of a worker. */
function failed(
  state: State,
  worker: WorkerState,
  reason: RestartReason,
  at: number,
  exit: BootFailure['exit'],
): Action[] {
  const why = worker.failure ?? reason
  if (state.reload !== null && worker.generation === state.reload.generation) {
    return [...failReload(state, { reason, why, exit }), ...startNextReload(state, at)]
  }
  if (state.phase === 'starting' && worker.readyAt === null && !state.workers.some(({ readyAt }) => readyAt !== null)) {
    state.exit = { code: EXIT.bootFailed, why }
    return stopNow(state, 'the first generation did not boot')
  }
  if (countFailure(state, worker, reason, at)) {
    state.exit = { code: EXIT.crashLoop, why }
    const reasons = countReasons(state)
    return [{ type: 'announce', what: { of: 'crash-loop', reasons } }, ...stopNow(state, 'crash loop')]
  }
  const restartInMs = Math.max(0, state.nextSpawnAt - at)
  return [{ type: 'announce', what: { of: 'worker-failed', worker: worker.id, reason, restartInMs } }]
}

function remove(state: State, worker: WorkerState): Action[] {
  state.workers = state.workers.filter(({ id }) => id !== worker.id)
  return [
    { type: 'clear-timer', timer: { of: 'boot', worker: worker.id } },
    { type: 'clear-timer', timer: { of: 'stop', worker: worker.id } },
    { type: 'clear-timer', timer: { of: 'listen', worker: worker.id } },
  ]
}

type Exit = { readonly code: number | null; readonly signal: string | null }

/** Exit codes of a process that ends itself because of SIGINT or SIGTERM. */
const SIGNAL_EXITS: readonly (number | null)[] = [0, 130, 143]
const OWN_SIGNALS: readonly string[] = ['SIGTERM', 'SIGINT', 'SIGHUP']

/** How the shutdown of a worker that was asked to exit has failed; null if it has not. */
export function shutdownFailure(worker: WorkerState, exit: Exit, phase: State['phase']): RestartReason | null {
  const { endReason, readyAt } = worker
  if (endReason === 'stop') return null
  if (endReason === 'stop-timeout' || endReason === 'stall' || endReason === 'frozen') return endReason
  const isClean = exit.signal === null ? SIGNAL_EXITS.includes(exit.code) : OWN_SIGNALS.includes(exit.signal)
  if (endReason === null && isClean) return null
  if (readyAt !== null) return restartReason(worker, exit)
  // The other workers of a generation that cannot boot fail in the same way, and a boot that was
  // broken off has nothing to complete, unless the app listens for the signal.
  return phase === 'stopping' && endReason === null ? 'crash' : null
}

function formatShutdownFailure({ settings }: State, worker: WorkerState, reason: RestartReason, how: string): string {
  const { id, pid, failure, waitingFor } = worker
  const waits = waitingFor.length === 0 ? '' : `, waiting for ${waitingFor.join(', ')}`
  const what =
    reason === 'stop-timeout'
      ? `did not exit within stopTimeout (${formatDuration(settings.stopTimeout)})${waits}`
      : [failure, how].filter((part) => part !== null).join('; ')
  return `worker ${id} (pid ${pid}): ${what}`
}

function restartReason(worker: WorkerState, exit: NonNullable<BootFailure['exit']>): RestartReason {
  if (worker.endReason !== null && worker.endReason !== 'stop') return worker.endReason
  if (worker.readyAt === null) return 'boot'
  if (fullHeap(worker, exit) !== null) return 'out-of-memory'
  return exit.signal === 'SIGKILL' ? 'killed-externally' : 'crash'
}

/**
 * The heap of a worker that V8 aborted because it was full, from its last heartbeat, in bytes.
 * Null if that is not why its process exited.
 */
export function fullHeap(
  { vitals }: WorkerState,
  exit: { readonly code: number | null; readonly signal: string | null },
): { readonly used: number; readonly limit: number } | null {
  const aborted = exit.signal === 'SIGABRT' || exit.code === 134
  if (!aborted || vitals === null || vitals.heapLimit <= 0) return null
  const { heapUsed: used, heapLimit: limit } = vitals
  return used / limit > FULL_HEAP ? { used, limit } : null
}

/**
 * Counts a failure and sets the delay before the next worker is started: exponential from
 * `restartDelayMin` to `restartDelayMax`, from the start again after `restartReset` without one.
 *
 * Workers that fail together (the machine is out of memory, a database is down) count as one
 * failure: only a worker started after the last counted failure shows that a restart does not help.
 *
 * @returns true when this makes it a crash loop
 */
function countFailure(state: State, worker: WorkerState, reason: RestartReason, at: number): boolean {
  const { restartDelayMin, restartDelayMax, restartReset, crashLimit, crashWindow } = state.settings
  state.restarts[reason] = (state.restarts[reason] ?? 0) + 1

  const sameBurst = worker.spawnedAt < state.lastFailureAt
  if (sameBurst) return false
  // The delay itself does not count as time without failure.
  if (at - state.nextSpawnAt >= restartReset) state.delayLevel = 0

  state.lastFailureAt = at
  const delay = Math.min(restartDelayMax, restartDelayMin * 2 ** Math.min(state.delayLevel, 30))
  state.delayLevel++
  state.nextSpawnAt = at + delay
  state.failures = [...state.failures.filter((failure) => at - failure.at < crashWindow), { at, reason }]
  return state.failures.length >= crashLimit
}

/** The failures within the crash window by reason, the most frequent first. */
export function countReasons({ failures }: State): Record<string, number> {
  const reasons: Record<string, number> = {}
  for (const { reason } of failures) reasons[reason] = (reasons[reason] ?? 0) + 1
  return Object.fromEntries(Object.entries(reasons).sort(([, a], [, b]) => b - a))
}
