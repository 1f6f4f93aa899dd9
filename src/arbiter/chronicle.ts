import type { FromMain, FromWatchdog } from '../protocol/messages.ts'
import type { Incident, ReportedError, StallEvidence } from '../report/incident.ts'
import type { IncidentStore } from '../report/incident-store.ts'
import { KernelWatch } from '../report/kernel-watch.ts'
import type { Log } from '../report/log.ts'
import { SourcePositions } from '../report/source-positions.ts'
import { tellLastAnswers, tellStory, type Untold } from '../report/story.ts'
import { wallClock } from '../wait/clock.ts'
import type { Announcement } from './action.ts'
import type { Event } from './event.ts'
import type { State, WorkerState } from './state.ts'

type Draft = { -readonly [Key in keyof Untold]: Untold[Key] }

/** An incident that is not over yet. */
interface Open {
  readonly draft: Draft
  /** Monotonic time of the cut, kill or exit, from which the replacement is timed. */
  lostAt: number | null
  readonly worker: number
}

/**
 * Turns what happens into incidents: opens one when a worker stalls, falls silent, crashes or cannot boot, adds what is learnt,
 * and closes it when the worker has gone and another serves in its place. Each step is told in the log and written to the file.
 */
export class Chronicle {
  readonly #store: IncidentStore
  readonly #log: Log
  readonly #cwd: string
  readonly #positions = new SourcePositions()
  readonly #open: Open[] = []
  readonly #errors = new Map<number, ReportedError>()
  #telling: Promise<void> = Promise.resolve()
  #lastError: ReportedError | null = null

  constructor(store: IncidentStore, log: Log, cwd: string) {
    this.#store = store
    this.#log = log
    this.#cwd = cwd
  }

  /** The error of the worker that ended last, if it left one. */
  get lastError(): ReportedError | null {
    return this.#lastError
  }

  /** Resolves when everything that happened so far has been told. */
  told(): Promise<void> {
    return this.#telling
  }

  /** An event, with the state as it was before it was decided. */
  note(event: Event, before: State): void {
    if (event.type === 'told') {
      const worker = before.workers.find(({ id }) => id === event.worker)
      if (worker !== undefined) this.#heard(worker, event.message, event.at)
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

  #heard(worker: WorkerState, message: FromMain | FromWatchdog, at: number): void {
    switch (message.type) {
      case 'stall-reported':
        return this.#tell(this.#begin('stall', worker, [message.evidence]).draft, 'warn')
      case 'stall-ended':
        return this.#stallEnded(worker, message)
      case 'stall-cut': {
        const open = this.#find(worker.id, 'stall') ?? this.#begin('stall', worker, [])
        this.#add(open, message.evidence)
        Object.assign(open.draft, { outcome: 'cut', stalledForMs: message.stalledForMs })
        delete open.draft.notCut
        open.lostAt = at
        return this.#tell(open.draft, 'error')
      }
      case 'cut-done': {
        // The main thread may be heard before its watchdog is.
        const open = this.#find(worker.id, 'stall') ?? this.#begin('stall', worker, [])
        open.draft.culprit = message.culprit
        return
      }
      case 'cut-served': {
        const open = this.#find(worker.id, 'stall')
        if (open !== undefined) open.draft.others = { inFlight: message.others, served: message.served }
        return
      }
      case 'cut-impossible': {
        const open = this.#find(worker.id, 'stall') ?? this.#begin('stall', worker, [])
        this.#add(open, message.evidence)
        open.draft.notCut = message.why
        return this.#tell(open.draft, 'error')
      }
      case 'killing':
        return this.#killing(worker, message, at)
      case 'boot-failed':
      case 'crashing':
        this.#errors.set(worker.id, message.error)
        return
    }
  }

  #killing(worker: WorkerState, message: Extract<FromWatchdog, { type: 'killing' }>, at: number): void {
    const { why, evidence, lastAnswers } = message
    const stall = this.#find(worker.id, 'stall')
    if (stall === undefined && why !== 'stall' && why !== 'boot') {
      // It was told to leave and has not: no stall, but no end without a reason either.
      const { id, pid } = worker
      this.#log.warn({}, `worker ${id} (pid ${pid}) is killed before it has left: ${why}; ${tellLastAnswers(lastAnswers)}`)
      return
    }
    const open = stall ?? this.#begin(why === 'boot' ? 'boot' : 'stall', worker, [])
    if (evidence !== null) this.#add(open, evidence)
    Object.assign(open.draft, { outcome: 'killed', lastAnswers })
    if (why === 'boot') Object.assign(open.draft, { kind: 'boot', stalledForMs: Math.round(at - worker.spawnedAt) })
    open.lostAt = at
    this.#tell(open.draft, 'error')
  }

  #stallEnded(worker: WorkerState, message: Extract<FromWatchdog, { type: 'stall-ended' }>): void {
    const open = this.#find(worker.id, 'stall')
    if (open === undefined) return
    if (message.evidence !== null) this.#add(open, message.evidence)
    Object.assign(open.draft, { outcome: 'ended', stalledForMs: message.stalledForMs })
    this.#close(open)
    this.#tell(open.draft, 'warn')
  }

  #left(worker: WorkerState, event: Extract<Event, { type: 'exited' }>, before: State): void {
    const error = this.#errors.get(worker.id)
    this.#errors.delete(worker.id)
    if (error !== undefined) this.#lastError = error
    const exit = { code: event.code, signal: event.signal }
    const open = this.#open.filter((one) => one.worker === worker.id)
    for (const one of open) {
      one.draft.exit = exit
      one.lostAt ??= event.at
      if (one.draft.outcome === 'ongoing') one.draft.outcome = 'exited'
      this.#closeIfOver(one)
    }
    const planned = worker.life === 'draining' || before.phase === 'stopping'
    if (open.length > 0 || planned) return

    const one = this.#begin(worker.readyAt === null ? 'boot' : 'crash', worker, [])
    Object.assign(one.draft, { outcome: 'exited', exit }, error === undefined ? {} : { error })
    one.lostAt = event.at
    this.#tell(one.draft, 'error')
  }

  #froze(id: number, forMs: number, state: State): void {
    const worker = state.workers.find((one) => one.id === id)
    if (worker?.pid === undefined || worker.pid === null) return
    const { vitals } = worker
    const open = this.#begin('frozen', worker, [
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
        longTurn: null,
      },
    ])
    open.draft.stalledForMs = Math.round(forMs)
    this.#tell(open.draft, 'error')
  }

  /** The arbiter itself kills a process that is frozen; nobody can answer its clients, but they are counted. */
  killedFrozen(worker: WorkerState, at: number): void {
    const open = this.#find(worker.id, 'frozen')
    if (open === undefined) return
    const closed = worker.vitals?.connections ?? 0
    Object.assign(open.draft, {
      outcome: 'killed',
      stalledForMs: Math.round(at - worker.beatAt),
      lastAnswers: { inFlight: 0, unread: 0, closed, tookMs: 0 },
    })
    open.lostAt = at
    this.#tell(open.draft, 'error')
  }

  #thawed(id: number): void {
    const open = this.#find(id, 'frozen')
    if (open === undefined) return
    open.draft.outcome = 'ended'
    this.#close(open)
    this.#tell(open.draft, 'warn')
  }

  #outgrew(id: number, why: string, state: State): void {
    const worker = state.workers.find((one) => one.id === id)
    if (worker === undefined || !why.includes('memory')) return
    const open = this.#begin('memory', worker, [])
    open.draft.memory = { rss: worker.vitals?.rss ?? 0, limit: state.settings.maxMemory }
    this.#tell(open.draft, 'warn')
  }

  #looped(reasons: Readonly<Record<string, number>>, state: State): void {
    const draft: Draft = {
      id: identify('crash-loop', null),
      kind: 'crash-loop',
      at: wallClock().toISOString(),
      worker: null,
      outcome: 'exited',
      evidence: [],
      failures: { withinMs: state.settings.crashWindow, reasons },
      ...(this.#lastError === null ? {} : { error: this.#lastError }),
    }
    this.#tell(draft, 'fatal')
  }

  /** A worker has become ready: the incident of the one it stands in for learns of it. */
  #tookOver(id: number, replaces: number | null, at: number): void {
    const open = this.#open.find(
      (one) =>
        one.lostAt !== null &&
        one.draft.replacement === undefined &&
        (one.worker === replaces || one.draft.exit !== undefined),
    )
    if (open?.lostAt === undefined || open.lostAt === null) return
    open.draft.replacement = { worker: id, afterMs: Math.round(at - open.lostAt) }
    this.#closeIfOver(open)
  }

  /** The story is whole: the worker has gone, and another serves. */
  #closeIfOver(open: Open): void {
    if (open.draft.exit === undefined) return
    if (open.draft.replacement === undefined) {
      // Still told in part, should nothing replace it any more.
      this.#tell(open.draft, null)
      return
    }
    this.#close(open)
    this.#tell(open.draft, 'info')
  }

  #begin(kind: Incident['kind'], worker: WorkerState, evidence: readonly StallEvidence[]): Open {
    const draft: Draft = {
      id: identify(kind, worker.id),
      kind,
      at: wallClock().toISOString(),
      worker: { id: worker.id, pid: worker.pid ?? 0, generation: worker.generation },
      outcome: 'ongoing',
      evidence: [...evidence],
    }
    const first = evidence[0]
    if (first !== undefined) draft.stalledForMs = first.stalledForMs
    const open = { draft, worker: worker.id, lostAt: null }
    this.#open.push(open)
    return open
  }

  #find(worker: number, kind: Incident['kind']): Open | undefined {
    return this.#open.find((one) => one.worker === worker && one.draft.kind === kind)
  }

  #add(open: Open, evidence: StallEvidence): void {
    open.draft.evidence = [...open.draft.evidence, evidence]
    open.draft.stalledForMs = Math.max(open.draft.stalledForMs ?? 0, evidence.stalledForMs)
  }

  #close(open: Open): void {
    this.#open.splice(this.#open.indexOf(open), 1)
  }

  /** Writes the incident as it stands, and says so in the log unless `level` is null. One after the other, in order. */
  #tell(draft: Draft, level: 'info' | 'warn' | 'error' | 'fatal' | null): void {
    const snapshot = { ...draft }
    this.#telling = this.#telling.then(async () => {
      const evidence = await Promise.all(
        snapshot.evidence.map(async (one) =>
          one.stack === null ? one : { ...one, stack: await this.#positions.map(one.stack) },
        ),
      )
      const incident = { ...snapshot, evidence }
      const story = tellStory(incident, this.#cwd)
      this.#store.save({ ...incident, story })
      if (level !== null) this.#log[level]({ incident: incident.id }, story)
    })
  }
}

let previous = ''
let copies = 0

/** `20261122T004331123-w2-stall`: sortable, and unique even when two happen in one millisecond. */
function identify(kind: string, worker: number | null): string {
  const time = wallClock()
    .toISOString()
    .replace(/[-:.Z]/g, '')
  const id = `${time}${worker === null ? '' : `-w${worker}`}-${kind}`
  copies = id === previous ? copies + 1 : 0
  previous = id
  return copies === 0 ? id : `${id}-${copies}`
}
