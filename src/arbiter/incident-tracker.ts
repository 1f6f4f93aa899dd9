import type { ReportedError } from '../diagnostics/incident.ts'
import type { IncidentStore } from '../diagnostics/incident-store.ts'
import { formatEmergencyResponses } from '../diagnostics/incident-summary.ts'
import { KernelWatch } from '../diagnostics/kernel-watch.ts'
import type { Log } from '../diagnostics/log.ts'
import { shortPath } from '../diagnostics/stack-frames.ts'
import type { FromMain, FromWatchdog } from '../ipc/messages.ts'
import { formatDuration, formatElapsed } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'
import type { Announcement, Event } from './events.ts'
import { IncidentRegistry, type OpenIncident } from './incident-registry.ts'
import type { RecycleReason, State, WorkerState } from './state.ts'
import { fullHeap, shutdownFailure } from './worker-events.ts'

/**
 * Turns events into incidents: opens one when a worker stalls, freezes, crashes or cannot boot,
 * adds evidence, and closes it when the worker has exited and its replacement serves. Every step is
 * logged and written to the incident's file.
 */
export class IncidentTracker {
  readonly #registry: IncidentRegistry
  readonly #log: Log
  readonly #cwd: string
  readonly #errors = new Map<number, ReportedError>()
  readonly #loggedNotes = new Set<string>()
  #lastError: ReportedError | null = null
  /** The generation whose boot profile has been logged. */
  #profiledGeneration: number | null = null

  /** @param entry absolute path of the app's entry */
  constructor(store: IncidentStore, log: Log, cwd: string, entry: string) {
    this.#registry = new IncidentRegistry(store, log, cwd, entry)
    this.#log = log
    this.#cwd = cwd
  }

  /** The error of the worker that exited last, if it reported one. */
  get lastError(): ReportedError | null {
    return this.#lastError
  }

  /** Resolves when everything recorded so far is in the log and in the store. */
  flush(): Promise<void> {
    return this.#registry.flush()
  }

  /** The arbiter itself failed while it handled an event of this type. */
  recordInternalError(error: ReportedError, during: string): void {
    this.#registry.recordForArbiter('internal-error', { error, during }, 'fatal')
  }

  /** Records an event, with the state before it was decided. */
  recordEvent(event: Event, before: State): void {
    if (event.type !== 'message' && event.type !== 'exited') return
    const worker = before.workers.find(({ id }) => id === event.worker)
    if (worker === undefined) return
    if (event.type === 'message') this.#recordMessage(worker, event.message, event.at, before.settings)
    else this.#recordExit(worker, event, before)
  }

  /** Records what was decided, with the state after the decision. */
  recordAnnouncement(what: Announcement, state: State, at: number): void {
    if (what.of === 'frozen') this.#recordFreeze(what.worker, what.forMs, state)
    else if (what.of === 'unfrozen') this.#recordUnfreeze(what.worker)
    else if (what.of === 'worker-ready') this.#recordReplacement(what.worker, what.replaces, at)
    else if (what.of === 'recycling') this.#recordRecycling(what.worker, what.why, state)
    else if (what.of === 'crash-loop') this.#recordCrashLoop(what.reasons, state)
  }

  /** The arbiter kills a frozen process. Its clients get no response, but they are counted. */
  recordFrozenKill(worker: WorkerState, at: number): void {
    const open = this.#registry.find(worker.id, 'frozen')
    if (open === undefined) return
    const closed = worker.vitals?.connections ?? 0
    Object.assign(open.draft, {
      outcome: 'killed',
      stalledForMs: Math.round(at - worker.heartbeatAt),
      emergencyResponses: { inFlight: 0, unread: 0, closed, tookMs: 0 },
    })
    open.lostAt = at
    this.#registry.save(open.draft, 'error')
  }

  #recordMessage(worker: WorkerState, message: FromMain | FromWatchdog, at: number, settings: Settings): void {
    const registry = this.#registry
    switch (message.type) {
      case 'ready':
        return this.#logBoot(worker, message)
      case 'boot-slow':
        return this.#logSlowBoot(worker, message)
      case 'stall-reported':
        return registry.save(registry.create('stall', worker, [message.evidence]).draft, 'warn')
      case 'stall-ended':
        return this.#recordStallEnd(worker, message)
      case 'stall-interrupted': {
        const open = registry.find(worker.id, 'stall') ?? registry.create('stall', worker)
        registry.addEvidence(open, message.evidence)
        Object.assign(open.draft, { outcome: 'interrupted', stalledForMs: message.stalledForMs })
        delete open.draft.notInterrupted
        open.lostAt = at
        return registry.save(open.draft, 'error')
      }
      case 'interrupt-done': {
        // The message of the main thread may arrive before that of the watchdog.
        const open =
          registry.findInterrupted(worker.id) ?? registry.find(worker.id, 'stall') ?? registry.create('stall', worker)
        open.draft.culprit = message.culprit
        return
      }
      case 'interrupt-served': {
        const open = registry.findInterrupted(worker.id)
        if (open !== undefined) open.draft.others = { inFlight: message.others, served: message.served }
        return
      }
      case 'interrupt-impossible': {
        const open = registry.find(worker.id, 'stall') ?? registry.create('stall', worker)
        registry.addEvidence(open, message.evidence)
        open.draft.notInterrupted = message.why
        return registry.save(open.draft, 'error')
      }
      case 'killing':
        return this.#recordKill(worker, message, at, settings)
      case 'drain-waiting':
        return this.#logDrainWaiting(worker, message)
      case 'lingering':
        return this.#logLingering(worker, message, settings)
      case 'leak':
        return registry.recordForWorker('leak', worker, { leak: message.leak }, 'error')
      case 'boot-failed':
      case 'crashing':
        this.#errors.set(worker.id, message.error)
        return
    }
  }

  /** Once a worker: what is left changes every second. */
  #logDrainWaiting(
    { id, pid, waitingFor: before }: WorkerState,
    { waitingFor, leftMs }: Extract<FromMain, { type: 'drain-waiting' }>,
  ): void {
    if (waitingFor.length === 0 || before.length > 0) return
    const limit = leftMs === null ? '' : ` up to ${formatElapsed(leftMs)}`
    this.#log.info(
      { event: 'drain-waiting', worker: id, workerPid: pid, waitingFor, leftMs },
      `worker ${id} (pid ${pid}) has answered its requests, and waits${limit} for ${waitingFor.join(', ')}`,
    )
  }

  #logLingering(
    { id, pid }: WorkerState,
    { notice, waitingFor }: Extract<FromMain, { type: 'lingering' }>,
    { stopTimeout }: Settings,
  ): void {
    if (waitingFor.length === 0) return
    this.#log.warn(
      { event: 'worker-lingering', worker: id, workerPid: pid, notice, waitingFor },
      `worker ${id} (pid ${pid}) has drained, but does not exit: waiting for ${waitingFor.join(', ')}; it is killed at stopTimeout (${formatDuration(stopTimeout)})`,
    )
  }

  /** Logs each note once, and one profile a generation: its workers load the same modules. */
  #logBoot(worker: WorkerState, { notes, profile = [] }: Extract<FromMain, { type: 'ready' }>): void {
    for (const { message, ...fields } of notes) {
      if (this.#loggedNotes.has(message)) continue
      this.#loggedNotes.add(message)
      const level = fields.event === 'state-in-process' ? 'warn' : 'info'
      this.#log[level]({ ...fields, worker: worker.id }, message)
    }
    if (profile.length === 0 || this.#profiledGeneration === worker.generation) return
    this.#profiledGeneration = worker.generation
    for (const line of profile) this.#log.info({ event: 'boot-profile', worker: worker.id }, line)
  }

  #logSlowBoot(worker: WorkerState, { bootMs, worst }: Extract<FromWatchdog, { type: 'boot-slow' }>): void {
    const { id, pid } = worker
    const imports = worst.map(({ module, selfMs }) => `${shortPath(module, this.#cwd)} (${formatElapsed(selfMs)})`)
    const where = imports.length === 0 ? 'no single import dominates' : `slowest imports: ${imports.join(', ')}`
    // Not a warning: on a busy machine every boot is slow.
    this.#log.info(
      { event: 'boot-slow', worker: id, workerPid: pid, bootMs, imports: worst },
      `worker ${id} (pid ${pid}) took ${formatElapsed(bootMs)} to boot; ${where}; see --boot-profile`,
    )
  }

  #recordStallEnd(worker: WorkerState, message: Extract<FromWatchdog, { type: 'stall-ended' }>): void {
    const open = this.#registry.find(worker.id, 'stall')
    if (open === undefined) return
    if (message.evidence !== null) this.#registry.addEvidence(open, message.evidence)
    Object.assign(open.draft, { outcome: 'ended', stalledForMs: message.stalledForMs })
    this.#registry.close(open)
    this.#registry.save(open.draft, 'warn')
  }

  #recordKill(
    worker: WorkerState,
    message: Extract<FromWatchdog, { type: 'killing' }>,
    at: number,
    { stopTimeout }: Settings,
  ): void {
    const { why, evidence, emergencyResponses } = message
    const stall = this.#registry.find(worker.id, 'stall')
    if (stall === undefined && why !== 'stall' && why !== 'boot') {
      // It did not exit when asked to.
      const { id, pid, waitingFor } = worker
      const waits = waitingFor.length === 0 ? '' : `, waiting for ${waitingFor.join(', ')}`
      const reason = why === 'stop' ? 'stopping immediately' : `it did not exit within ${formatDuration(stopTimeout)}`
      this.#log.warn(
        { event: 'worker-killed', worker: id, workerPid: pid, reason: why, waitingFor, emergencyResponses },
        `killed worker ${id} (pid ${pid}): ${reason}${waits}; ${formatEmergencyResponses(emergencyResponses)}`,
      )
      if (why !== 'stop-timeout') return
      const open = this.#registry.create('stop-timeout', worker, evidence === null ? [] : [evidence])
      Object.assign(open.draft, { outcome: 'killed', emergencyResponses, waitingFor })
      // Already logged.
      this.#registry.save(open.draft, null)
      return
    }
    const open = stall ?? this.#registry.create(why === 'boot' ? 'boot' : 'stall', worker)
    if (evidence !== null) this.#registry.addEvidence(open, evidence)
    Object.assign(open.draft, { outcome: 'killed', emergencyResponses })
    if (why === 'boot') Object.assign(open.draft, { kind: 'boot', stalledForMs: Math.round(at - worker.spawnedAt) })
    open.lostAt = at
    this.#registry.save(open.draft, 'error')
  }

  #recordExit(worker: WorkerState, event: Extract<Event, { type: 'exited' }>, before: State): void {
    const error = this.#errors.get(worker.id)
    this.#errors.delete(worker.id)
    if (error !== undefined) this.#lastError = error
    const exit = { code: event.code, signal: event.signal }
    const asked = worker.life === 'draining' || before.phase === 'stopping'
    const planned = asked && shutdownFailure(worker, exit, before.phase) === null
    // On a slow machine a process exits seconds after the thread that sends its heartbeats.
    if (planned) this.#recordUnfreeze(worker.id)
    const open = this.#registry.open.filter((one) => one.worker === worker.id)
    // A worker that was replaced after an interruption may stall again before it exits; that stall
    // gets no replacement of its own.
    const isReplaced = open.some(({ draft }) => draft.replacement !== undefined)
    // A new generation that loses a worker before it serves is dropped, so nothing replaces it.
    const isDropped = worker.generation > before.generation
    const heap = fullHeap(worker, exit)
    const cause = planned ? {} : { ...(error && { error }), ...(heap && { heap }) }
    for (const one of open) {
      Object.assign(one.draft, cause)
      one.draft.exit = exit
      one.lostAt ??= event.at
      if (one.draft.outcome === 'ongoing') one.draft.outcome = 'exited'
      if (isDropped || one.draft.kind === 'stop-timeout') this.#closeUnreplaced(one)
      else this.#closeIfComplete(one, isReplaced)
    }
    if (open.length > 0 || planned) return

    const one = this.#registry.create(worker.readyAt === null ? 'boot' : 'crash', worker)
    // At its boot timeout the watchdog may not run yet, so the arbiter killed it.
    const timedOut = worker.endReason === 'boot' && error === undefined && exit.signal === 'SIGKILL'
    const outcome = timedOut
      ? { outcome: 'killed', stalledForMs: Math.round(event.at - worker.spawnedAt) }
      : { outcome: 'exited' }
    Object.assign(one.draft, { ...outcome, exit }, cause, asked && { draining: true })
    one.lostAt = event.at
    this.#registry.save(one.draft, 'error')
    if (isDropped || asked) this.#closeUnreplaced(one)
  }

  #recordFreeze(id: number, forMs: number, state: State): void {
    const worker = state.workers.find((one) => one.id === id)
    if (worker?.pid === undefined || worker.pid === null) return
    const { vitals } = worker
    const open = this.#registry.create('frozen', worker, [
      {
        stage: 'frozen',
        stalledForMs: Math.round(forMs),
        stack: null,
        request: null,
        inFlight: [],
        inFlightCount: vitals?.inFlight ?? 0,
        kernel: new KernelWatch(worker.pid).evidence(),
        loopLag: [],
        memory: { rss: vitals?.rss ?? 0, heapUsed: vitals?.heapUsed ?? 0, heapLimit: vitals?.heapLimit ?? 0 },
        allowBlocking: null,
      },
    ])
    open.draft.stalledForMs = Math.round(forMs)
    this.#registry.save(open.draft, 'error')
  }

  #recordUnfreeze(id: number): void {
    const open = this.#registry.find(id, 'frozen')
    if (open === undefined) return
    open.draft.outcome = 'ended'
    this.#registry.close(open)
    this.#registry.save(open.draft, 'warn')
  }

  #recordRecycling(id: number, why: RecycleReason, state: State): void {
    const worker = state.workers.find((one) => one.id === id)
    if (worker === undefined || why.reason !== 'memory') return
    const open = this.#registry.create('memory', worker)
    open.draft.memory = { rss: why.rss, limit: why.limit }
    this.#registry.save(open.draft, 'warn')
  }

  #recordCrashLoop(reasons: Readonly<Record<string, number>>, state: State): void {
    const failures = { withinMs: state.settings.crashWindow, reasons }
    const error = this.#lastError
    this.#registry.recordForArbiter('crash-loop', { failures, ...(error && { error }) }, 'fatal')
  }

  /** A worker is ready: the incident of the worker that it replaces gets to know. */
  #recordReplacement(id: number, replaces: number | null, at: number): void {
    const lost = this.#registry.open.filter(({ lostAt, draft }) => lostAt !== null && draft.replacement === undefined)
    const first = lost.find(({ worker, draft }) => worker === replaces || draft.exit !== undefined)
    for (const one of lost) {
      if (one.worker !== first?.worker) continue
      one.draft.replacement = { worker: id, afterMs: Math.round(at - (one.lostAt ?? at)) }
      this.#closeIfComplete(one, true)
    }
  }

  #closeUnreplaced(open: OpenIncident): void {
    this.#registry.close(open)
    this.#registry.save(open.draft, null)
  }

  /** An incident is complete when the worker has exited and its replacement serves. */
  #closeIfComplete(open: OpenIncident, isReplaced: boolean): void {
    if (open.draft.exit === undefined) return
    if (!isReplaced) {
      // Written without being logged, in case that no replacement becomes ready.
      this.#registry.save(open.draft, null)
      return
    }
    this.#registry.close(open)
    this.#registry.save(open.draft, 'info')
  }
}
