import type { ReportedError } from '../diagnostics/incident.ts'
import type { IncidentStore } from '../diagnostics/incident-store.ts'
import { KernelWatch } from '../diagnostics/kernel-watch.ts'
import type { Log } from '../diagnostics/log.ts'
import { tellLastAnswers } from '../diagnostics/story.ts'
import { shortPath } from '../diagnostics/telling-frame.ts'
import type { FromMain, FromWatchdog } from '../ipc/messages.ts'
import { formatDuration, formatElapsed } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'
import type { Announcement } from './action.ts'
import type { Event } from './event.ts'
import { fullHeap } from './full-heap.ts'
import { IncidentBook, type OpenIncident } from './incident-book.ts'
import type { RecycleReason, State, WorkerState } from './state.ts'

/**
 * Turns what happens into incidents: opens one when a worker stalls, falls silent, crashes or cannot boot, adds what is learnt,
 * and closes it when the worker has gone and another serves in its place. Each step is told in the log and written to the file.
 */
export class Chronicle {
  readonly #book: IncidentBook
  readonly #log: Log
  readonly #errors = new Map<number, ReportedError>()
  #lastError: ReportedError | null = null
  readonly #noted = new Set<string>()
  readonly #cwd: string
  /** The generation whose boot profile has been told. */
  #profiled: number | null = null

  /** @param entry absolute path of the app's entry */
  constructor(store: IncidentStore, log: Log, cwd: string, entry: string) {
    this.#book = new IncidentBook(store, log, cwd, entry)
    this.#log = log
    this.#cwd = cwd
  }

  /** The error of the worker that ended last, if it left one. */
  get lastError(): ReportedError | null {
    return this.#lastError
  }

  /** Resolves when everything that happened so far has been told. */
  told(): Promise<void> {
    return this.#book.told()
  }

  /** The arbiter itself failed while it handled an event of this type. */
  failed(error: ReportedError, during: string): void {
    this.#book.tellWhole('internal-error', { error, during }, 'fatal')
  }

  /** An event, with the state as it was before it was decided. */
  note(event: Event, before: State): void {
    if (event.type === 'told') {
      const worker = before.workers.find(({ id }) => id === event.worker)
      if (worker !== undefined) this.#heard(worker, event.message, event.at, before)
    } else if (event.type === 'exited') {
      const worker = before.workers.find(({ id }) => id === event.worker)
      if (worker !== undefined) this.#left(worker, event, before)
    }
  }

  /** What was decided about it, with the state after. */
  announce(what: Announcement, state: State, at: number): void {
    if (what.of === 'frozen') this.#froze(what.worker, what.forMs, state)
    else if (what.of === 'thawed') this.#thawed(what.worker)
    else if (what.of === 'worker-ready') this.#tookOver(what.worker, what.replaces, at)
    else if (what.of === 'recycling') this.#outgrew(what.worker, what.why, state)
    else if (what.of === 'crash-loop') this.#looped(what.reasons, state)
  }

  #heard(worker: WorkerState, message: FromMain | FromWatchdog, at: number, { settings }: State): void {
    switch (message.type) {
      case 'ready':
        for (const note of message.notes) {
          // Every worker says the same; the operator needs it once.
          if (!this.#noted.has(note)) this.#log.warn({ event: 'boot-note', worker: worker.id }, note)
          this.#noted.add(note)
        }
        this.#tellProfile(worker, message.profile)
        return
      case 'boot-slow':
        return this.#tellSlowBoot(worker, message)
      case 'stall-reported':
        return this.#book.tell(this.#book.begin('stall', worker, [message.evidence]).draft, 'warn')
      case 'stall-ended':
        return this.#stallEnded(worker, message)
      case 'stall-interrupted': {
        const open = this.#book.find(worker.id, 'stall') ?? this.#book.begin('stall', worker)
        this.#book.add(open, message.evidence)
        Object.assign(open.draft, { outcome: 'interrupted', stalledForMs: message.stalledForMs })
        delete open.draft.notInterrupted
        open.lostAt = at
        return this.#book.tell(open.draft, 'error')
      }
      case 'interrupt-done': {
        // The main thread may be heard before its watchdog is.
        const open =
          this.#book.findCut(worker.id) ?? this.#book.find(worker.id, 'stall') ?? this.#book.begin('stall', worker)
        open.draft.culprit = message.culprit
        return
      }
      case 'interrupt-served': {
        const open = this.#book.findCut(worker.id)
        if (open !== undefined) open.draft.others = { inFlight: message.others, served: message.served }
        return
      }
      case 'interrupt-impossible': {
        const open = this.#book.find(worker.id, 'stall') ?? this.#book.begin('stall', worker)
        this.#book.add(open, message.evidence)
        open.draft.notInterrupted = message.why
        return this.#book.tell(open.draft, 'error')
      }
      case 'killing':
        return this.#killing(worker, message, at, settings)
      case 'leak':
        return this.#book.tellOf(worker, 'leak', { leak: message.leak }, 'error')
      case 'boot-failed':
      case 'crashing':
        this.#errors.set(worker.id, message.error)
        return
    }
  }

  /** Of each generation one: all its workers have loaded the same. */
  #tellProfile(worker: WorkerState, lines: readonly string[] = []): void {
    if (lines.length === 0 || this.#profiled === worker.generation) return
    this.#profiled = worker.generation
    for (const line of lines) this.#log.info({ event: 'boot-profile', worker: worker.id }, line)
  }

  #tellSlowBoot(worker: WorkerState, { bootMs, worst }: Extract<FromWatchdog, { type: 'boot-slow' }>): void {
    const who = `worker ${worker.id} (pid ${worker.pid}) took ${formatElapsed(bootMs)} to boot`
    const told = worst
      .map(({ module, selfMs }) => `${shortPath(module, this.#cwd)} ${formatElapsed(selfMs)}`)
      .join(', ')
    const where = told === '' ? 'no single import stands out' : `most of it in importing ${told}`
    this.#log.warn(
      { event: 'boot-slow', worker: worker.id, workerPid: worker.pid, bootMs, imports: worst },
      `${who}; ${where}. --boot-profile shows every import`,
    )
  }

  #killing(
    worker: WorkerState,
    message: Extract<FromWatchdog, { type: 'killing' }>,
    at: number,
    { stopTimeout }: Settings,
  ): void {
    const { why, evidence, emergencyResponses } = message
    const stall = this.#book.find(worker.id, 'stall')
    if (stall === undefined && why !== 'stall' && why !== 'boot') {
      // It was told to leave and has not: no stall, but no end without a reason either.
      const { id, pid } = worker
      const told = why === 'stop' ? 'everything stops now' : `it was told to leave ${formatDuration(stopTimeout)} ago`
      this.#log.warn(
        { event: 'worker-killed', worker: id, workerPid: pid, reason: why, emergencyResponses },
        `worker ${id} (pid ${pid}) is killed before it has left: ${told}; ${tellLastAnswers(emergencyResponses)}`,
      )
      return
    }
    const open = stall ?? this.#book.begin(why === 'boot' ? 'boot' : 'stall', worker)
    if (evidence !== null) this.#book.add(open, evidence)
    Object.assign(open.draft, { outcome: 'killed', emergencyResponses })
    if (why === 'boot') Object.assign(open.draft, { kind: 'boot', stalledForMs: Math.round(at - worker.spawnedAt) })
    open.lostAt = at
    this.#book.tell(open.draft, 'error')
  }

  #stallEnded(worker: WorkerState, message: Extract<FromWatchdog, { type: 'stall-ended' }>): void {
    const open = this.#book.find(worker.id, 'stall')
    if (open === undefined) return
    if (message.evidence !== null) this.#book.add(open, message.evidence)
    Object.assign(open.draft, { outcome: 'ended', stalledForMs: message.stalledForMs })
    this.#book.close(open)
    this.#book.tell(open.draft, 'warn')
  }

  #left(worker: WorkerState, event: Extract<Event, { type: 'exited' }>, before: State): void {
    const error = this.#errors.get(worker.id)
    this.#errors.delete(worker.id)
    if (error !== undefined) this.#lastError = error
    const exit = { code: event.code, signal: event.signal }
    const open = this.#book.open.filter((one) => one.worker === worker.id)
    // A worker that was cut, and replaced for it, may stall once more before it has left: for that nobody takes over again.
    const isReplaced = open.some(({ draft }) => draft.replacement !== undefined)
    const planned = worker.life === 'draining' || before.phase === 'stopping'
    const heap = fullHeap(worker, exit)
    const cause = planned ? {} : { ...(error && { error }), ...(heap && { heap }) }
    for (const one of open) {
      Object.assign(one.draft, cause)
      one.draft.exit = exit
      one.lostAt ??= event.at
      if (one.draft.outcome === 'ongoing') one.draft.outcome = 'exited'
      this.#closeIfOver(one, isReplaced)
    }
    if (open.length > 0 || planned) return

    const one = this.#book.begin(worker.readyAt === null ? 'boot' : 'crash', worker)
    Object.assign(one.draft, { outcome: 'exited', exit }, cause)
    one.lostAt = event.at
    this.#book.tell(one.draft, 'error')
  }

  #froze(id: number, forMs: number, state: State): void {
    const worker = state.workers.find((one) => one.id === id)
    if (worker?.pid === undefined || worker.pid === null) return
    const { vitals } = worker
    const open = this.#book.begin('frozen', worker, [
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
    this.#book.tell(open.draft, 'error')
  }

  /** The arbiter itself kills a process that is frozen; nobody can answer its clients, but they are counted. */
  killedFrozen(worker: WorkerState, at: number): void {
    const open = this.#book.find(worker.id, 'frozen')
    if (open === undefined) return
    const closed = worker.vitals?.connections ?? 0
    Object.assign(open.draft, {
      outcome: 'killed',
      stalledForMs: Math.round(at - worker.beatAt),
      emergencyResponses: { inFlight: 0, unread: 0, closed, tookMs: 0 },
    })
    open.lostAt = at
    this.#book.tell(open.draft, 'error')
  }

  #thawed(id: number): void {
    const open = this.#book.find(id, 'frozen')
    if (open === undefined) return
    open.draft.outcome = 'ended'
    this.#book.close(open)
    this.#book.tell(open.draft, 'warn')
  }

  #outgrew(id: number, why: RecycleReason, state: State): void {
    const worker = state.workers.find((one) => one.id === id)
    if (worker === undefined || why.reason !== 'memory') return
    const open = this.#book.begin('memory', worker)
    open.draft.memory = { rss: why.rss, limit: why.limit }
    this.#book.tell(open.draft, 'warn')
  }

  #looped(reasons: Readonly<Record<string, number>>, state: State): void {
    this.#book.tellWhole(
      'crash-loop',
      {
        failures: { withinMs: state.settings.crashWindow, reasons },
        ...(this.#lastError === null ? {} : { error: this.#lastError }),
      },
      'fatal',
    )
  }

  /** A worker has become ready: the incident of the one it stands in for learns of it. */
  #tookOver(id: number, replaces: number | null, at: number): void {
    const lost = this.#book.open.filter(({ lostAt, draft }) => lostAt !== null && draft.replacement === undefined)
    const first = lost.find(({ worker, draft }) => worker === replaces || draft.exit !== undefined)
    for (const one of lost) {
      if (one.worker !== first?.worker) continue
      one.draft.replacement = { worker: id, afterMs: Math.round(at - (one.lostAt ?? at)) }
      this.#closeIfOver(one, true)
    }
  }

  /** The summary is whole: the worker has gone, and another serves. */
  #closeIfOver(open: OpenIncident, isReplaced: boolean): void {
    if (open.draft.exit === undefined) return
    if (!isReplaced) {
      // Still told in part, should nothing replace it any more.
      this.#book.tell(open.draft, null)
      return
    }
    this.#book.close(open)
    this.#book.tell(open.draft, 'info')
  }
}
