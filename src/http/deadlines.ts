import type { IncomingMessage } from 'node:http'
import { type Deadline, deadlineAt, NO_DEADLINE } from '../resilience/clock.ts'
import { type Milliseconds, UNBOUNDED } from '../resilience/duration.ts'
import { WheelEntry, waitWheel } from '../resilience/timer-wheel.ts'
import { TimingHeaders } from './arrival.ts'
import type { ConnectionTable } from './connection-table.ts'
import type { InFlight, RequestScope } from './scope.ts'

/** A loop that turns as it should may be this late. */
const USUAL_LAG = 20

export interface DeadlineLimits {
  /** From its acceptance until a request must be answered. */
  readonly requestTimeout: Milliseconds
  /** The most that is believed of a proxy's clock. */
  readonly maxProxyQueueTime: Milliseconds
}

/**
 * By when each request must be answered. The time a request has waited before it was read counts: in front of its proxy (`X-Request-Start`),
 * and while the loop did not turn.
 *
 * There is one timer for all of them, set for whichever falls due first. Nearly all have the same limit, so a new request
 * nearly never falls due before those in flight, and costs one comparison.
 */
export class Deadlines extends WheelEntry {
  readonly #limits: DeadlineLimits
  readonly #inFlight: InFlight
  readonly #table: ConnectionTable
  readonly #arrival = new TimingHeaders()
  #due: number = Number.POSITIVE_INFINITY
  /** Until when the loop would have turned again if nothing had held it up. */
  #expectedBy: number = Number.POSITIVE_INFINITY
  /** By how much it was held up before this turn; what is read in this turn may have come at its beginning. */
  #lag = 0
  /** Called for each request whose time is over. */
  onTimeout: (scope: RequestScope) => void = () => {}

  constructor(
    inFlight: InFlight,
    table: ConnectionTable,
    limits: DeadlineLimits = { requestTimeout: UNBOUNDED, maxProxyQueueTime: UNBOUNDED },
  ) {
    super()
    this.#inFlight = inFlight
    this.#table = table
    this.#limits = limits
  }

  /** On every turn of a regular timer, before anything is read from the network. */
  loopTurned(lag: number, expectedBy: number): void {
    this.#expectedBy = expectedBy
    if (lag <= USUAL_LAG) return
    this.#lag = lag
    // Right after the network has been read.
    setImmediate(() => {
      this.#lag = 0
    })
  }

  /** When a request that has just been read was accepted, in monotonic milliseconds; `deadlineOf` is to be asked next. */
  acceptedAt(request: IncomingMessage, now: number): number {
    this.#arrival.read(request.rawHeaders)
    const late = Math.max(this.#lag, now - this.#expectedBy)
    const queued = Math.min(this.#arrival.queued, this.#limits.maxProxyQueueTime)
    return now - Math.max(queued, late > USUAL_LAG ? late : 0)
  }

  /** The deadline of that request. Its caller may shorten it. */
  deadlineOf(acceptedAt: number, now: number): Deadline {
    const own = acceptedAt + this.#limits.requestTimeout
    const callers = now + this.#arrival.allowed
    return callers < own ? deadlineAt(callers) : own === Number.POSITIVE_INFINITY ? NO_DEADLINE : deadlineAt(own)
  }

  /** When the code of that request may be cut for having passed it: what its caller asks for does not count there, or he could end our workers. */
  interruptAt(acceptedAt: number): number {
    return acceptedAt + this.#limits.requestTimeout
  }

  watch(scope: RequestScope): void {
    scope.watcher = this
    if (scope.deadline < this.#due) this.#set(scope.deadline)
  }

  /** The app has given it another deadline, which holds for its code, too. */
  deadlineChanged(scope: RequestScope): void {
    const { connection } = scope
    if (connection !== null && connection.scopes[0] === scope)
      this.#table.setInterruptAt(connection.slot, scope.deadline)
    this.watch(scope)
  }

  #set(due: number): void {
    this.#due = due
    waitWheel.set(this, due, false)
  }

  /** The first of them, at least, is due. */
  override expire(): void {
    const now = waitWheel.now()
    let next = Number.POSITIVE_INFINITY
    this.#due = Number.POSITIVE_INFINITY
    const due: RequestScope[] = []
    for (const scope of this.#inFlight) {
      if (scope.abandoned) continue
      if (scope.deadline <= now) due.push(scope)
      else if (scope.deadline < next) next = scope.deadline
    }
    // Before anything of the app runs: one that throws, or is cut while it spins, leaves the others to the next millisecond.
    if (due.length > 0) next = now
    if (next < this.#due) this.#set(next)
    for (const scope of due) this.onTimeout(scope)
  }
}
