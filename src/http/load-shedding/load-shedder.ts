import type { Outcome } from '../../diagnostics/outcomes.ts'
import { type ProblemAnswer, problemAnswer } from '../../errors/problem.ts'
import { ShedError } from '../../resilience/abort-reason.ts'
import { after, afterIo, monotonicNow } from '../../resilience/clock.ts'
import type { Settings } from '../../settings/settings.ts'
import type { ConnectionTable } from '../connection-table.ts'
import { answerStream } from '../http2-stream.ts'
import { LINGER_TIMEOUT, streamAnswer } from '../raw-response.ts'
import type { InFlight, RequestScope } from '../scope.ts'
import { Codel, type CodelSettings, type LoadMeter, Utilization } from './codel.ts'
import { QueuedRequest, RequestQueue } from './request-queue.ts'

export type LoadSheddingSettings = Pick<
  Settings,
  'loadShedding' | 'maxConcurrentRequests' | 'maxQueuedRequests' | 'queueTarget' | 'queueInterval' | 'priorityRoutes'
>

/** The part of `Traffic` that is used here. */
interface TrafficLike {
  readonly table: ConnectionTable
  readonly inFlight: InFlight
  loadShedder: LoadShedder | null
  onEnded: ((scope: RequestScope, outcome: Outcome) => void) | null
}

/**
 * Adds load shedding to a worker. Also while it is off, because it may be turned on later; a
 * request then costs two comparisons. The caller must call `loopTurned` regularly.
 */
export function addLoadShedding(traffic: TrafficLike, settings: LoadSheddingSettings): LoadShedder {
  const loadShedder = new LoadShedder(traffic.table, traffic.inFlight, settings)
  traffic.loadShedder = loadShedder
  const { onEnded } = traffic
  traffic.onEnded = (scope, outcome) => {
    onEnded?.(scope, outcome)
    loadShedder.requestEnded(scope)
  }
  return loadShedder
}

/**
 * Decides when requests are started. At most `maxConcurrentRequests` run; further ones are queued.
 * During overload, requests that have waited too long are shed, and the newest is started first,
 * because its client is the likeliest to be still waiting (adaptive LIFO: B. Maurer, "Fail at
 * Scale", ACM Queue 13.8, 2015).
 *
 * Most of a queue is not here: while code runs, requests are in the kernel, unread. Their waiting
 * time is known from how long the loop was blocked, and is part of the time since a request was
 * accepted.
 *
 * Without overload a request costs two comparisons.
 */
export class LoadShedder implements LoadMeter {
  readonly #table: ConnectionTable
  readonly #inFlight: InFlight
  readonly #settings: LoadSheddingSettings
  #priority: PriorityRoutes
  readonly #codel: Codel
  readonly #queue = new RequestQueue<QueuedRequest>()
  readonly #utilization = new Utilization()
  /**
   * Milliseconds for which the loop was blocked, while the requests that arrived meanwhile are
   * read.
   */
  #lag = 0
  /** Number of times that it was blocked: a later time must not be ended by an earlier one. */
  #blockages = 0
  /**
   * No check is needed while at most this many requests are in flight and the request has waited
   * less than `#freeWait`. Below 0 while every request must be checked.
   */
  #freeSlots: number
  #freeWait: number
  #isStartScheduled = false
  /**
   * Shed requests whose response has not been sent: it waits for another on the same connection, or
   * for a slow client. They do not count as running.
   */
  readonly #shedding = new Set<RequestScope>()

  /** @param settings read when needed; call `settingsChanged` after a change */
  constructor(table: ConnectionTable, inFlight: InFlight, settings: LoadSheddingSettings) {
    this.#table = table
    this.#inFlight = inFlight
    this.#settings = settings
    this.#priority = new PriorityRoutes(settings.priorityRoutes)
    this.#codel = new Codel(codelSettings(settings), this)
    this.#freeSlots = settings.maxConcurrentRequests
    this.#freeWait = settings.queueTarget
    this.#update()
  }

  /** Starts queued requests that the new settings allow. */
  settingsChanged(): void {
    this.#priority = new PriorityRoutes(this.#settings.priorityRoutes)
    this.#scheduleStart()
    this.#update()
  }

  /** Whether `admit` must be called for this request, which is already in flight. */
  needsAdmissionCheck(scope: RequestScope): boolean {
    if (this.#inFlight.size > this.#freeSlots) return true
    const { connection } = scope
    return (connection === null ? monotonicNow() : connection.lastSeen) - scope.startedAt >= this.#freeWait
  }

  /**
   * Admits, queues or sheds a request.
   *
   * @param begin calls its handler, if it was queued
   * @returns whether the caller is to call the handler now
   */
  admit(scope: RequestScope, begin: () => void): boolean {
    const now = monotonicNow()
    const isAdmitted = this.#isEnabled
      ? this.#isStartable(scope, now) || this.#enqueue(scope, now, begin)
      : this.#countOnly(scope, now)
    this.#update()
    return isAdmitted
  }

  /** Called on every turn of a regular timer, before the network is read. */
  loopTurned(lag: number): void {
    const now = monotonicNow()
    if (this.#settings.loadShedding !== 'off' && lag >= this.#settings.queueTarget) this.#wasBlocked(lag)
    if (this.#freeSlots >= 0) return
    this.#codel.look(now)
    // If requests end too slowly, those that have waited too long are shed here.
    for (let { oldest } = this.#queue; oldest !== null && this.#isEnabled; { oldest } = this.#queue) {
      if (!this.#codel.take(now - oldest.scope.startedAt, now)) break
      this.#shed(oldest.scope)
    }
    // The code that was to start them may have been interrupted.
    this.#isStartScheduled = false
    this.#scheduleStart()
    this.#update()
  }

  requestEnded(scope: RequestScope): void {
    if (this.#freeSlots >= 0) return
    this.#shedding.delete(scope)
    this.#scheduleStart()
    this.#update()
  }

  begin(): void {
    this.#utilization.begin()
  }

  isHigh(): boolean {
    return this.#inFlight.size > this.#settings.maxConcurrentRequests || this.#utilization.isFull
  }

  /** With `dry-run` or `off`: it is admitted in any case. */
  #countOnly(scope: RequestScope, now: number): true {
    const { maxConcurrentRequests, maxQueuedRequests } = this.#settings
    const tooLate = this.#codel.take(this.#waitedFor(scope, now), now)
    const tooMany = this.#inFlight.size > maxConcurrentRequests + maxQueuedRequests
    const isCounted = this.#settings.loadShedding === 'dry-run' && (tooLate || tooMany)
    if (isCounted && !this.#hasPriority(scope)) this.#table.countWouldBeShed()
    return true
  }

  /**
   * False if it must be queued, or was shed. CoDel decides when a request is next, not when it is
   * queued.
   */
  #isStartable(scope: RequestScope, now: number): boolean {
    if (this.#hasPriority(scope)) return true
    if (this.#slots < 0) return false
    if (this.#queue.size > 0 && (!this.#codel.isOverloaded || isPipelined(scope))) return false
    if (!this.#codel.take(this.#waitedFor(scope, now), now)) return true
    this.#shed(scope)
    return false
  }

  /** Returns false: it does not start now. */
  #enqueue(scope: RequestScope, now: number, begin: () => void): false {
    if (scope.forcedOutcome !== null) return false
    if (this.#queue.size >= this.#settings.maxQueuedRequests) {
      const { oldest } = this.#queue
      // The one that would be started last is shed.
      if (!this.#codel.isOverloaded || oldest === null) {
        this.#shed(scope)
        return false
      }
      this.#shed(oldest.scope)
    }
    new QueuedRequest(scope, this.#queue, now, begin)
    return false
  }

  get #isEnabled(): boolean {
    return this.#settings.loadShedding === 'on'
  }

  /** How many more requests may start; one that has just arrived counts as running. */
  get #slots(): number {
    if (!this.#isEnabled) return Number.POSITIVE_INFINITY
    return this.#settings.maxConcurrentRequests - (this.#inFlight.size - this.#queue.size - this.#shedding.size)
  }

  #shed(scope: RequestScope): void {
    shedRequest(scope)
    if (!scope.ended) this.#shedding.add(scope)
  }

  #hasPriority(scope: RequestScope): boolean {
    return this.#priority.includes(scope.request.url ?? '')
  }

  #waitedFor(scope: RequestScope, now: number): number {
    return Math.max(now - scope.startedAt, this.#lag)
  }

  /**
   * Requests that are read in this turn may have arrived when the blockage began. So may those of
   * the next turn, on connections that this turn only accepts.
   */
  #wasBlocked(lag: number): void {
    this.#lag = lag
    const blockage = ++this.#blockages
    this.#checkAll()
    afterIo(() => {
      afterIo(() => {
        if (blockage !== this.#blockages) return
        this.#lag = 0
        this.#update()
      })
    })
  }

  /** Not at once: a request ends in the middle of its own code. */
  #scheduleStart(): void {
    if (this.#isStartScheduled || this.#queue.size === 0 || this.#slots <= 0) return
    this.#isStartScheduled = true
    afterIo(() => {
      this.#isStartScheduled = false
      this.#startQueued()
    })
  }

  /**
   * Starts as many as there are slots now. Before slots that these free are used, the network is
   * read, because the newest request may be there.
   */
  #startQueued(): void {
    try {
      for (let slots = this.#slots; slots > 0 && this.#queue.size > 0; ) {
        const { oldest, newest } = this.#queue
        const next = this.#codel.isOverloaded ? firstOfItsConnection(newest) : oldest
        if (next === null) break
        if (next.scope.ended) {
          this.#queue.leave(next)
          continue
        }
        const now = monotonicNow()
        if (this.#isEnabled && this.#codel.take(now - next.scope.startedAt, now)) {
          this.#shed(next.scope)
          continue
        }
        slots--
        next.start()
      }
    } finally {
      this.#scheduleStart()
      this.#update()
    }
  }

  /** Decides whether the next request must be checked, and publishes the state. */
  #update(): void {
    const { size } = this.#queue
    this.#table.waiting = size
    this.#table.overloaded = this.#codel.isOverloaded
    const isIdle = size === 0 && this.#shedding.size === 0
    // After load shedding was turned off, the queue is served first.
    if (this.#settings.loadShedding === 'off' && isIdle) return this.#checkNone()
    if (!isIdle || this.#lag > 0 || !this.#codel.isCalm) return this.#checkAll()
    this.#freeSlots = this.#settings.maxConcurrentRequests
    this.#freeWait = this.#settings.queueTarget
  }

  #checkAll(): void {
    this.#freeSlots = -1
    this.#freeWait = Number.NEGATIVE_INFINITY
  }

  #checkNone(): void {
    this.#table.overloaded = false
    this.#freeSlots = Number.POSITIVE_INFINITY
    this.#freeWait = Number.POSITIVE_INFINITY
  }
}

/** The settings of load shedding, which may change, as those of CoDel. */
function codelSettings(settings: LoadSheddingSettings): CodelSettings {
  return {
    get target() {
      return settings.queueTarget
    },
    get interval() {
      return settings.queueInterval
    },
  }
}

/**
 * Its response must wait for another on its connection, so it would occupy its slot for as long.
 */
function isPipelined({ connection }: RequestScope): boolean {
  return connection !== null && connection.scopes.length > 1
}

function firstOfItsConnection(newest: QueuedRequest | null): QueuedRequest | null {
  if (newest === null || !isPipelined(newest.scope)) return newest
  let first = newest
  for (let other = newest.older; other !== null; other = other.older) {
    if (other.scope.connection === newest.scope.connection) first = other
  }
  return first
}

/**
 * Requests that are neither queued nor shed, by path: health checks of a load balancer, for
 * example.
 */
export class PriorityRoutes {
  readonly #prefixes: readonly string[]

  /**
   * @param prefixes `/health` matches `/health`, `/health/…` and `/health?…`, but not `/healthcare`
   */
  constructor(prefixes: readonly string[]) {
    this.#prefixes = prefixes
  }

  /** @param target of the request line, or `:path` */
  includes(target: string): boolean {
    for (const prefix of this.#prefixes) {
      if (!target.startsWith(prefix)) continue
      if (target.length === prefix.length || prefix.endsWith('/')) return true
      const next = target[prefix.length]
      if (next === '/' || next === '?') return true
    }
    return false
  }
}

const SHED_RESPONSE: ProblemAnswer = problemAnswer('PUNCTUAL_SHED')
const SHED_ANSWER = streamAnswer('PUNCTUAL_SHED')

/**
 * Responds 503 to a request whose handler was not called. The connection stays open, because a new
 * one costs both sides more than the request; for the same reason the rest of its body is read, if
 * it arrives soon.
 */
function shedRequest(scope: RequestScope): void {
  const { request, response, connection } = scope
  if (!scope.ended) scope.forcedOutcome = 'shed'
  scope.giveUp(new ShedError())
  if (scope.ended || response.destroyed) return
  if (connection === null) {
    answerStream(scope, SHED_ANSWER, LINGER_TIMEOUT)
    return
  }
  response.writeHead(SHED_RESPONSE.status, SHED_RESPONSE.headers)
  response.end(SHED_RESPONSE.body)
  if (request.complete) return
  request.resume()
  after(
    LINGER_TIMEOUT,
    () => {
      if (request.complete) return
      connection.socket.destroy()
    },
    { keepAlive: false },
  )
}
