import { monotonicNow } from '../../resilience/clock.ts'
import type { Settings } from '../../settings/settings.ts'
import type { ConnectionTable } from '../connection-table.ts'
import type { InFlight, RequestScope } from '../scope.ts'
import { Codel, type CodelLimits, type LoadMeter } from './codel.ts'
import { PriorityRoutes } from './priority-routes.ts'
import { RequestQueue } from './request-queue.ts'
import { shedRequest } from './shed-request.ts'
import { Utilisation } from './utilisation.ts'
import { QueuedRequest } from './waiting-request.ts'

export type LoadSheddingSettings = Pick<
  Settings,
  'loadShedding' | 'maxConcurrentRequests' | 'maxQueuedRequests' | 'queueTarget' | 'queueInterval' | 'priorityRoutes'
>

/**
 * Which requests are begun, and when. At most `maxConcurrentRequests` are in work; who comes then
 * waits at the door. What waits too long, wherever it has waited, is shed while there is overload,
 * and then the newest is let in first: its client is the likeliest to be still there. (B. Maurer,
 * "Fail at Scale", ACM Queue 13.8, 2015, calls it adaptive LIFO.)
 *
 * Most of a queue is not at the door: while code runs, requests lie unread in the kernel. What is
 * known of them is for how long the loop did not turn, and that is part of the time since a request
 * was accepted.
 *
 * While nothing is amiss a request costs two comparisons.
 */
export class LoadShedder implements LoadMeter {
  readonly #table: ConnectionTable
  readonly #inFlight: InFlight
  readonly #limits: LoadSheddingSettings
  #priority: PriorityRoutes
  readonly #codel: Codel
  readonly #door = new RequestQueue<QueuedRequest>()
  readonly #utilisation = new Utilisation()
  /** How long the loop was held up, while it reads what came meanwhile. */
  #lag = 0
  /** How often it was held up: what one time has set, a later one must not end. */
  #times = 0
  /**
   * As long as no more than these are in flight, and none has waited this long, nobody is held up;
   * below 0 while every one must be looked at.
   */
  #calmUpTo: number
  #calmFor: number
  #isLettingIn = false
  /**
   * Those shed whose answer has not left: it waits for that of another on the same connection, or
   * for a slow client. They are not in work.
   */
  readonly #refused = new Set<RequestScope>()

  /**
   * @param limits read whenever they are needed; say so with `changed` when they have been changed
   */
  constructor(table: ConnectionTable, inFlight: InFlight, limits: LoadSheddingSettings) {
    this.#table = table
    this.#inFlight = inFlight
    this.#limits = limits
    this.#priority = new PriorityRoutes(limits.priorityRoutes)
    this.#codel = new Codel(codelLimits(limits), this)
    this.#calmUpTo = limits.maxConcurrentRequests
    this.#calmFor = limits.queueTarget
    this.#settle()
  }

  /**
   * The limits have been changed: who waits behind a door that is no longer kept, or has become
   * wider, is let in.
   */
  settingsChanged(): void {
    this.#priority = new PriorityRoutes(this.#limits.priorityRoutes)
    this.#callIn()
    this.#settle()
  }

  /** Whether `receive` must be asked about this request, which has just begun to be in flight. */
  needsAdmissionCheck(scope: RequestScope): boolean {
    if (this.#inFlight.size > this.#calmUpTo) return true
    const { connection } = scope
    return (connection === null ? monotonicNow() : connection.lastSeen) - scope.startedAt >= this.#calmFor
  }

  /**
   * Lets it in, or keeps it at the door, or sheds it.
   *
   * @param begin calls its handler, when its turn comes
   * @returns whether the caller is to begin it at once
   */
  admit(scope: RequestScope, begin: () => void): boolean {
    const now = monotonicNow()
    const mayPass = this.#sheds
      ? this.#passes(scope, now) || this.#hold(scope, now, begin)
      : this.#onlyCount(scope, now)
    this.#settle()
    return mayPass
  }

  /** On every turn of a regular timer, before anything is read from the network. */
  loopTurned(lag: number): void {
    const now = monotonicNow()
    if (this.#limits.loadShedding !== 'off' && lag >= this.#limits.queueTarget) this.#heldUp(lag)
    if (this.#calmUpTo >= 0) return
    this.#codel.look(now)
    // Nothing ends, or too little: those that have waited too long hear of it all the same.
    for (let { oldest } = this.#door; oldest !== null && this.#sheds; { oldest } = this.#door) {
      if (!this.#codel.take(now - oldest.scope.startedAt, now)) break
      this.#shed(oldest.scope)
    }
    // The code that was to let them in may have been cut.
    this.#isLettingIn = false
    this.#callIn()
    this.#settle()
  }

  /** A request has ended. */
  requestEnded(scope: RequestScope): void {
    if (this.#calmUpTo >= 0) return
    this.#refused.delete(scope)
    this.#callIn()
    this.#settle()
  }

  begin(): void {
    this.#utilisation.begin()
  }

  isHigh(): boolean {
    return this.#inFlight.size > this.#limits.maxConcurrentRequests || this.#utilisation.isFull
  }

  /** Dark or off: it passes in any case. */
  #onlyCount(scope: RequestScope, now: number): true {
    const { maxConcurrentRequests, maxQueuedRequests } = this.#limits
    const tooLate = this.#codel.take(this.#waited(scope, now), now)
    const tooMany = this.#inFlight.size > maxConcurrentRequests + maxQueuedRequests
    const isCounted = this.#limits.loadShedding === 'dry-run' && (tooLate || tooMany)
    if (isCounted && !this.#isFirst(scope)) this.#table.countWouldBeShed()
    return true
  }

  /**
   * Whether it need not wait. Then its turn has come, and what it has waited so far decides; one
   * that waits is asked when its turn comes.
   */
  #passes(scope: RequestScope, now: number): boolean {
    if (this.#isFirst(scope)) return true
    if (this.#room < 0) return false
    if (this.#door.size > 0 && (!this.#codel.isOverloaded || isBehindAnother(scope))) return false
    if (!this.#codel.take(this.#waited(scope, now), now)) return true
    this.#shed(scope)
    return false
  }

  /** Always false: it is not to begin now. */
  #hold(scope: RequestScope, now: number, begin: () => void): false {
    if (scope.forcedOutcome !== null) return false
    if (this.#door.size >= this.#limits.maxQueuedRequests) {
      const { oldest } = this.#door
      // Who is let in last is the one to go.
      if (!this.#codel.isOverloaded || oldest === null) {
        this.#shed(scope)
        return false
      }
      this.#shed(oldest.scope)
    }
    new QueuedRequest(scope, this.#door, now, begin)
    return false
  }

  get #sheds(): boolean {
    return this.#limits.loadShedding === 'on'
  }

  /**
   * How many more may be begun, those in work all counted; the one that has just come counts as in
   * work.
   */
  get #room(): number {
    if (!this.#sheds) return Number.POSITIVE_INFINITY
    return this.#limits.maxConcurrentRequests - (this.#inFlight.size - this.#door.size - this.#refused.size)
  }

  #shed(scope: RequestScope): void {
    shedRequest(scope)
    if (!scope.ended) this.#refused.add(scope)
  }

  #isFirst(scope: RequestScope): boolean {
    return this.#priority.includes(scope.request.url ?? '')
  }

  #waited(scope: RequestScope, now: number): number {
    return Math.max(now - scope.startedAt, this.#lag)
  }

  /**
   * What is read in this turn may have come at the beginning of the one before. So may what is read
   * in the next: that on new connections, which this one only accepts.
   */
  #heldUp(lag: number): void {
    this.#lag = lag
    const time = ++this.#times
    this.#beWary()
    setImmediate(() => {
      setImmediate(() => {
        if (time !== this.#times) return
        this.#lag = 0
        this.#settle()
      })
    })
  }

  /** Not at once: the request that has just ended made room in the middle of its own code. */
  #callIn(): void {
    if (this.#isLettingIn || this.#door.size === 0 || this.#room <= 0) return
    this.#isLettingIn = true
    setImmediate(() => {
      this.#isLettingIn = false
      this.#letIn()
    })
  }

  /**
   * As many as there is room for now; for room that they make themselves the network is read first,
   * because the newest may be there.
   */
  #letIn(): void {
    try {
      for (let room = this.#room; room > 0 && this.#door.size > 0; ) {
        const { oldest, newest } = this.#door
        const next = this.#codel.isOverloaded ? firstOfItsConnection(newest) : oldest
        if (next === null) break
        if (next.scope.ended) {
          this.#door.leave(next)
          continue
        }
        const now = monotonicNow()
        if (this.#sheds && this.#codel.take(now - next.scope.startedAt, now)) {
          this.#shed(next.scope)
          continue
        }
        room--
        next.start(now)
      }
    } finally {
      this.#callIn()
      this.#settle()
    }
  }

  /** Decides whether the next request must be looked at, and tells how things are. */
  #settle(): void {
    const { size } = this.#door
    this.#table.waiting = size
    this.#table.overloaded = this.#codel.isOverloaded
    // Who waited when it was switched off is let in, and who was shed is answered; from then on
    // nobody is looked at.
    if (this.#limits.loadShedding === 'off' && size === 0 && this.#refused.size === 0) return this.#rest()
    if (size > 0 || this.#refused.size > 0 || this.#lag > 0 || !this.#codel.isCalm) return this.#beWary()
    this.#calmUpTo = this.#limits.maxConcurrentRequests
    this.#calmFor = this.#limits.queueTarget
  }

  #beWary(): void {
    this.#calmUpTo = -1
    this.#calmFor = Number.NEGATIVE_INFINITY
  }

  #rest(): void {
    this.#table.overloaded = false
    this.#calmUpTo = Number.POSITIVE_INFINITY
    this.#calmFor = Number.POSITIVE_INFINITY
  }
}

function codelLimits(limits: LoadSheddingSettings): CodelLimits {
  return {
    get target() {
      return limits.queueTarget
    },
    get interval() {
      return limits.queueInterval
    },
  }
}

/**
 * It is answered only after another on its connection (pipelining), so it would hold its place for
 * as long as that one waits.
 */
function isBehindAnother({ connection }: RequestScope): boolean {
  return connection !== null && connection.scopes.length > 1
}

function firstOfItsConnection(newest: QueuedRequest | null): QueuedRequest | null {
  if (newest === null || !isBehindAnother(newest.scope)) return newest
  let first = newest
  for (let other = newest.older; other !== null; other = other.older) {
    if (other.scope.connection === newest.scope.connection) first = other
  }
  return first
}
