import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { afterIo, type Deadline, deadlineAt, monotonicNow, NO_DEADLINE } from '../resilience/clock.ts'
import { type Milliseconds, UNBOUNDED } from '../resilience/duration.ts'
import { WheelEntry, waitWheel } from '../resilience/timer-wheel.ts'
import type { ConnectionTable } from './connection-table.ts'
import { matchCallers } from './hosts.ts'
import { isGrpc } from './http2-stream.ts'
import { awaitsBody, ProgressMonitor, type ProgressSettings } from './progress.ts'
import { TimingHeaders } from './request-headers.ts'
import { isCompressed, isStream } from './response-head.ts'
import type { InFlight, RequestScope } from './scope.ts'

/** Milliseconds by which a healthy event loop may be late. */
const NORMAL_LAG = 20

export interface DeadlineSettings extends Partial<ProgressSettings> {
  /** From its acceptance until the response to a request must begin. */
  readonly requestTimeout: Milliseconds
  /** The longest time in a proxy's queue that is believed. */
  readonly maxProxyQueueTime: Milliseconds
  /** Callers whose deadlines are believed. Default: all. */
  readonly trustDeadlines?: readonly string[]
}

/**
 * Enforces the deadlines of requests. The time before a request was read counts: in the queue of
 * its proxy (`X-Request-Start`), and while the event loop was blocked.
 *
 * The time in which a body arrives does not count, and a response that has begun has no deadline:
 * both must make progress instead.
 *
 * One timer serves all requests, set for the earliest deadline. Nearly all have the same timeout,
 * so a new request is hardly ever due before those in flight, and costs one comparison.
 */
export class Deadlines extends WheelEntry {
  readonly #settings: DeadlineSettings
  readonly #inFlight: InFlight
  readonly #table: ConnectionTable
  readonly #headers = new TimingHeaders()
  /** Null if all callers are trusted. */
  readonly #isTrusted: ((socket: Socket) => boolean) | null
  readonly progress: ProgressMonitor
  #due: number = Number.POSITIVE_INFINITY
  /** When the next turn of the loop is due, unless it is blocked. */
  #expectedBy: number = Number.POSITIVE_INFINITY
  /**
   * How long it was blocked before this turn; requests read in this turn may have arrived at the
   * start of that.
   */
  #lag = 0
  /** Called for each request that times out. */
  onTimeout: (scope: RequestScope) => void = () => {}

  constructor(
    inFlight: InFlight,
    table: ConnectionTable,
    settings: DeadlineSettings = { requestTimeout: UNBOUNDED, maxProxyQueueTime: UNBOUNDED },
  ) {
    super()
    this.#inFlight = inFlight
    this.#table = table
    this.#settings = settings
    this.#isTrusted = matchCallers(settings.trustDeadlines ?? ['all'])
    this.progress = new ProgressMonitor(inFlight, settings)
    this.progress.onTooSlow = (scope, limit) => {
      scope.endedBy = limit
      this.onTimeout(scope)
    }
    this.progress.onReceiving = (scope) => this.bodyArrives(scope)
  }

  /** Called on every turn of a regular timer, before the network is read. */
  loopTurned(lag: number, expectedBy: number): void {
    this.progress.loopTurned(monotonicNow())
    this.#expectedBy = expectedBy
    if (lag <= NORMAL_LAG) return
    this.#lag = lag
    // After the network has been read.
    afterIo(() => {
      this.#lag = 0
    })
  }

  /**
   * When a request that has just been read was accepted, in monotonic milliseconds. Call
   * `deadlineOf` next.
   */
  acceptedAt(request: IncomingMessage, now: number): number {
    this.#headers.read(request.rawHeaders)
    if (this.#isTrusted !== null && this.#headers.allowed !== Number.POSITIVE_INFINITY) this.#checkTrust(request)
    const late = Math.max(this.#lag, now - this.#expectedBy)
    const queued = Math.min(this.#headers.queued, this.#settings.maxProxyQueueTime)
    return now - Math.max(queued, late > NORMAL_LAG ? late : 0)
  }

  #checkTrust(request: IncomingMessage): void {
    if (this.#isTrusted?.(request.socket) === false) this.#headers.allowed = Number.POSITIVE_INFINITY
  }

  /** The deadline of that request, which its caller may have shortened. */
  deadlineOf(acceptedAt: number, now: number): Deadline {
    const own = acceptedAt + this.#settings.requestTimeout
    const fromCaller = now + this.#headers.allowed
    return fromCaller < own ? deadlineAt(fromCaller) : own === Number.POSITIVE_INFINITY ? NO_DEADLINE : deadlineAt(own)
  }

  /**
   * When blocking code of that request may be interrupted. The caller's timeout does not count,
   * otherwise a caller could get workers killed.
   */
  interruptAt(acceptedAt: number): number {
    return acceptedAt + this.#settings.requestTimeout
  }

  watch(scope: RequestScope): void {
    scope.watcher = this
    if (scope.deadline < this.#due) this.#set(scope.deadline)
  }

  /** The app has replaced its deadline; this also changes when its code may be interrupted. */
  deadlineChanged(scope: RequestScope): void {
    const { connection } = scope
    if (connection === null) this.#table.setInterruptAt(scope.streamSlot, scope.deadline)
    else if (connection.scopes[0] === scope) this.#table.setInterruptAt(connection.slot, scope.deadline)
    this.watch(scope)
  }

  /**
   * The body of a request arrives, has just arrived, or is waited for: its time begins to count
   * again. A deadline that its caller or the app has chosen stays.
   */
  bodyArrives(scope: RequestScope, now: number = monotonicNow()): void {
    if (scope.begun || scope.deadlineBy !== 'setting') return
    scope.isReceiving = true
    scope.deadline = deadlineAt(now + this.#settings.requestTimeout - scope.queuedMs)
    this.deadlineChanged(scope)
  }

  /** The app has said that its response takes longer (`102 Processing`): its time begins again. */
  stillWorking(scope: RequestScope): void {
    if (scope.begun || scope.deadlineBy !== 'setting') return
    scope.deadline = deadlineAt(monotonicNow() + this.#settings.requestTimeout)
    this.deadlineChanged(scope)
  }

  /** Its response has begun, and is not complete. A deadline that the app has chosen stays. */
  responseBegan(scope: RequestScope): void {
    // The deadline of a gRPC call is one for all of its response.
    if (scope.deadlineBy === 'app' || (scope.deadlineBy === 'caller' && isGrpc(scope))) return
    scope.deadline = NO_DEADLINE
    const { connection } = scope
    if (connection === null) this.#table.setInterruptAt(scope.streamSlot, NO_DEADLINE)
    else if (connection.scopes[0] === scope) this.#table.setInterruptAt(connection.slot, NO_DEADLINE)
  }

  #set(due: number): void {
    this.#due = due
    waitWheel.set(this, due, false)
  }

  /** At least one request is due. */
  override expire(): void {
    const now = waitWheel.now()
    let next = Number.POSITIVE_INFINITY
    this.#due = Number.POSITIVE_INFINITY
    const due: RequestScope[] = []
    for (const scope of this.#inFlight) {
      if (scope.abandoned) continue
      if (scope.deadline <= now && awaitsBody(scope)) this.bodyArrives(scope, now)
      if (scope.deadline <= now) due.push(scope)
      else if (scope.deadline < next) next = scope.deadline
    }
    // Set before any code of the app runs: if it throws or is interrupted, the others time out a
    // millisecond later.
    if (due.length > 0) next = now
    if (next < this.#due) this.#set(next)
    for (const scope of due) if (!beginStream(scope)) this.onTimeout(scope)
  }
}

/**
 * Begins a response that the app has made a stream, but not written to yet, or has written to a
 * compressor that does not have enough: Node keeps its head until there is a first part. Returns
 * whether it has begun.
 */
function beginStream(scope: RequestScope): boolean {
  const { response } = scope
  if (scope.deadlineBy !== 'setting' || scope.begun) return false
  if (!isStream(response) && !(scope.compresses && isCompressed(response))) return false
  try {
    scope.enter(() => response.flushHeaders())
  } catch {
    // Middleware that is called before the head is written.
    return false
  }
  return scope.begun
}
