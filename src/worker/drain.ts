import type { Server } from 'node:http'
import type net from 'node:net'
import type { Duplex } from 'node:stream'
import { streamOf } from '../http/http2-stream.ts'
import { rawResponse } from '../http/raw-response.ts'
import { respondInstead } from '../http/respond-instead.ts'
import { saysEventStream } from '../http/response-head.ts'
import type { Connection, RequestScope } from '../http/scope.ts'
import type { Traffic } from '../http/traffic.ts'
import { closeConnection, closeDespiteHeaders } from '../patches/closing-responses.ts'
import { prepareToStop, stopListening } from '../patches/stop-listening.ts'
import { ShutdownError } from '../resilience/abort-reason.ts'
import { after, afterIo, type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'

/** How often a draining worker checks whether it is done. */
const CHECK_INTERVAL = ms(25)
/**
 * When everything stops, a keep-alive connection counts as idle this long after its last byte, in
 * milliseconds: before that its client is likely to send the next request.
 */
const IDLE_AFTER = 500
/** Milliseconds that a connection stays open beyond its keep-alive time, as in Node. */
const KEEP_ALIVE_BUFFER = 1_000
/**
 * How long the peer of a closed WebSocket, or of an aborted request, has to read the last bytes.
 */
const CLOSE_TIMEOUT = ms(1_000)
/** How long the app's own shutdown has to answer the requests that it holds, if it has one. */
const GOODBYE_TIMEOUT = 1_000
/** Exit codes of an orderly end: 130 and 143 stand for the signals. */
const ORDERLY_EXITS: readonly number[] = [0, 130, 143]
/** A turn of the event loop that took less, in milliseconds, has done hardly anything but look. */
const QUIET_TURN = 0.2
/** How long a worker may look for a quiet turn, in milliseconds. */
const MAX_ACCEPTING = 1_000
/**
 * A WebSocket close frame of a server: FIN and opcode 8, two bytes of payload, code 1012 ("service
 * restart", RFC 6455 and the IANA registry).
 */
const CLOSE_1012 = Buffer.from([0x88, 0x02, 0x03, 0xf4])

/** What became of the requests during a drain. */
export interface DrainResult {
  /** Requests answered after the order to drain. */
  readonly answered: number
  /** Requests answered 503 by Punctual, or closed. */
  readonly aborted: number
  readonly closedUpgrades: number
}

/** The app's own shutdown, as far as a drain has to know it. */
export interface AppShutdown {
  /** Whether the app closes connections itself, in a SIGTERM listener for example. */
  readonly exists: boolean
  /** Starts it, once. Resolves when it has been started: no request needs the app any more. */
  start(): Promise<void>
}

type DrainState =
  /** Requests in flight finish; connections that never become idle stay open. */
  | 'finishing'
  /** The app's own shutdown has been started; it may close the connections that are left. */
  | 'app-shutdown'
  /**
   * At `drainTimeout`: the app's shutdown has been started, and may still answer; a second later
   * the other requests are answered 503, and their clients have a second to read that.
   */
  | 'aborting'
  | 'done'

/**
 * Takes a worker out of service: stops accepting, finishes the requests in flight, starts the app's
 * own shutdown, and is done when the last connection has closed.
 *
 * Closing an idle keep-alive connection races with its client, who may be sending the next request
 * and would lose it (RFC 9112, 9.5). So an idle connection may carry one more request, and is
 * closed with that answer, or at the end of its keep-alive time. Only when no other worker keeps
 * serving are idle connections closed early.
 *
 * The app's shutdown runs when no request needs it any more, but before the connections are closed
 * that never become idle (WebSockets, event streams, raw TCP), so that its last message reaches
 * them.
 */
export class Drain {
  readonly #traffic: Traffic
  readonly #app: AppShutdown
  readonly #onDone: (result: DrainResult) => void
  #answered = 0
  #aborted = 0
  #closedUpgrades = 0
  readonly #startedAt = monotonicNow()
  readonly #upgradeGrace: number
  readonly #goodbyeTimeout: Milliseconds
  #state: DrainState = 'finishing'
  /** False: connections that have been idle for half a second are closed, too. */
  #keepsIdle: boolean
  #accepts = true
  /** When the app's shutdown was started; infinite before. */
  #appToldAt: number = Number.POSITIVE_INFINITY
  /** The app's shutdown has been started, or is about to be. */
  #tellingApp = false
  /** What each connection had sent and received at the last check. */
  readonly #bytes = new WeakMap<Connection, number>()
  readonly #stopChecking: Cancel

  /** @param keepIdle other workers keep serving */
  constructor(
    traffic: Traffic,
    settings: Settings,
    keepIdle: boolean,
    app: AppShutdown,
    onDone: (result: DrainResult) => void,
  ) {
    this.#traffic = traffic
    this.#app = app
    this.#onDone = onDone
    this.#upgradeGrace = settings.upgradeGrace
    // The rest is for the clients to read their answers.
    this.#goodbyeTimeout = ms(Math.min(GOODBYE_TIMEOUT, (settings.stopTimeout - settings.drainTimeout) / 2))
    const { onEnded } = traffic
    traffic.onEnded = (scope, outcome) => {
      if (scope.forcedOutcome !== 'shutdown') this.#answered++
      onEnded?.(scope, outcome)
    }
    this.#keepsIdle = keepIdle
    stopAccepting(traffic, keepIdle, () => {
      this.#accepts = false
    })
    // What a connection has been doing before is not known, so it counts from here.
    for (const connection of traffic.connections) connection.lastSeen = this.#startedAt
    this.#stopChecking = every(CHECK_INTERVAL, () => afterIo(() => this.#check()), { keepAlive: true })
    after(settings.drainTimeout, () => void this.abort(), { keepAlive: false })
    afterIo(() => this.#check())
  }

  /** Closes connections that have been idle for half a second; no other worker keeps serving. */
  closeIdle(): void {
    this.#keepsIdle = false
  }

  /**
   * Starts the app's shutdown if it has not been: it may hold requests that it answers then. A
   * second later answers 503 to those that are left, and closes the other connections after
   * another second.
   */
  async abort(): Promise<void> {
    if (this.#state === 'aborting' || this.#state === 'done') return
    const canSayGoodbye = this.#app.exists && this.#state !== 'app-shutdown'
    this.#become('aborting')
    if (!canSayGoodbye) return this.#abortAll()
    this.#tellingApp = true
    await this.#app.start()
    this.#appToldAt = monotonicNow()
    after(this.#goodbyeTimeout, () => this.#abortAll(), { keepAlive: true })
  }

  #abortAll(): void {
    const answer = rawResponse('PUNCTUAL_SHUTTING_DOWN')
    for (const scope of this.#traffic.inFlight) this.#abortRequest(scope, answer)
    this.#appToldAt = Number.NEGATIVE_INFINITY
    after(CLOSE_TIMEOUT, () => this.#finish(), { keepAlive: true })
  }

  /**
   * The app ends the process: the clients of unanswered requests learn why, and those of WebSockets
   * that they may connect again.
   */
  exiting(code: number): void {
    if (this.#tellingApp && ORDERLY_EXITS.includes(code)) {
      const answer = rawResponse('PUNCTUAL_SHUTTING_DOWN')
      for (const scope of this.#traffic.inFlight) if (!scope.begun) this.#abortRequest(scope, answer)
    }
    for (const connection of this.#traffic.connections) {
      if (connection.upgradeProtocol === 'websocket') this.#closeUpgrade(connection)
    }
  }

  #abortRequest(scope: RequestScope, answer: ReturnType<typeof rawResponse>): void {
    // It was answered before, and its client still has to read the answer.
    if (scope.abandoned) return
    this.#aborted++
    scope.forcedOutcome ??= 'shutdown'
    scope.enter(() => scope.giveUp(new ShutdownError()))
    respondInstead(this.#traffic, scope, answer)
  }

  /**
   * Runs right after the event loop has read from the sockets: an idle connection has sent nothing.
   */
  #check(): void {
    if (this.#state === 'done') return
    const now = monotonicNow()
    const mayCloseAll = this.#state === 'aborting' && this.#appToldAt === Number.NEGATIVE_INFINITY
    let pending = this.#accepts ? 1 : 0
    for (const connection of this.#traffic.connections) {
      this.#noteActivity(connection, now)
      if (connection.protocol === 'upgraded') {
        if (mayCloseAll || now >= this.#upgradesDueAt()) this.#closeUpgrade(connection)
      } else if (connection.protocol === 'http') {
        if (this.#isOver(connection, now)) destroySoon(connection.socket)
        if (!isEventStream(connection.scopes[0])) pending++
      } else if (mayCloseAll) {
        destroySoon(connection.socket)
      }
    }
    const { connections, inFlight, sessions } = this.#traffic
    if (pending === 0) {
      // HTTP/2, whose streams share a connection.
      for (const scope of inFlight) if (scope.connection === null && !isEventStream(scope)) pending++
      for (const session of sessions) if (!session.closed) pending++
    }
    if (pending === 0 && this.#state === 'finishing') void this.#tellApp()
    if (this.#state === 'app-shutdown' && connections.size === 0 && inFlight.size === 0) this.#finish()
    if (this.#state === 'aborting' && mayCloseAll && connections.size === 0 && inFlight.size === 0) this.#finish()
  }

  /** Starts the app's shutdown. */
  async #tellApp(): Promise<void> {
    if (this.#tellingApp) return
    this.#tellingApp = true
    await this.#app.start()
    if (this.#state !== 'finishing') return
    this.#appToldAt = monotonicNow()
    this.#become('app-shutdown')
    this.#check()
  }

  /** When upgraded connections are closed: an app that closes them itself has the grace for it. */
  #upgradesDueAt(): number {
    return this.#upgradeGrace + (this.#app.exists ? Math.max(this.#appToldAt, this.#startedAt) : this.#startedAt)
  }

  /** Any byte counts: the end of a long response, and the first part of a request. */
  #noteActivity(connection: Connection, now: number): void {
    const { socket } = connection
    // A connection that an app has given to its server may be a stream that does not count them.
    const bytes = (socket.bytesRead ?? 0) + (socket.bytesWritten ?? 0)
    const before = this.#bytes.get(connection)
    if (before === bytes) return
    this.#bytes.set(connection, bytes)
    if (before !== undefined) connection.lastSeen = now
  }

  /** Whether an HTTP connection may be closed. */
  #isOver(connection: Connection, now: number): boolean {
    if (connection.scopes.length > 0) return false
    if (this.#state === 'aborting') return true
    const idleFor = now - Math.max(connection.lastSeen, this.#startedAt)
    if (!this.#keepsIdle) return idleFor >= IDLE_AFTER
    // Node closes a connection that has served a request; one without a request has no keep-alive
    // time.
    const { server } = connection.socket as net.Socket & { readonly server?: Server }
    const keptFor = server?.keepAliveTimeout || Number.POSITIVE_INFINITY
    return idleFor >= keptFor + KEEP_ALIVE_BUFFER
  }

  #closeUpgrade(connection: Connection): void {
    if (connection.socket.writableEnded) return
    this.#closedUpgrades++
    const { frames } = connection
    if (frames?.isBetween === true && !frames.isClosing) connection.socket.end(CLOSE_1012)
    else connection.socket.end()
    after(CLOSE_TIMEOUT, () => connection.socket.destroy(), { keepAlive: false })
  }

  #finish(): void {
    if (this.#state === 'done') return
    this.#become('done')
    this.#stopChecking()
    this.#onDone({ answered: this.#answered, aborted: this.#aborted, closedUpgrades: this.#closedUpgrades })
  }

  #become(state: DrainState): void {
    this.#state = state
  }
}

/** A connection that an app has given to its server may be a stream that is no socket. */
function destroySoon(socket: net.Socket): void {
  if (typeof socket.destroySoon === 'function') socket.destroySoon()
  else if (!(socket as Duplex).writableEnded) (socket as Duplex).end(() => (socket as Duplex).destroy())
}

/**
 * Stops accepting connections, and asks the clients of open ones to close them.
 *
 * During a reload others accept from the same socket. When everything stops, connections that wait
 * in its queue would be reset, so it is closed right after the event loop has found none there: in
 * a short turn, since more of them arrive while other sockets are read.
 *
 * @param others whether other workers accept
 * @param onStopped called when it accepts nothing more
 */
export function stopAccepting(traffic: Traffic, others: boolean, onStopped: () => void = () => {}): void {
  closeDespiteHeaders()
  traffic.close(closeConnection)
  const stops = [...traffic.servers].map(prepareToStop)
  // One that starts to listen later, when the worker was told to stop while it booted.
  traffic.onListening = stopListening
  const stop = (): void => {
    for (const stopOne of stops) stopOne()
    onStopped()
  }
  if (others) return stop()
  const startedAt = monotonicNow()
  let { accepted } = traffic
  let turnedAt = Number.NEGATIVE_INFINITY
  const look = (): void => {
    const now = monotonicNow()
    const isQuiet = traffic.accepted === accepted && now - turnedAt < QUIET_TURN
    if (isQuiet || now - startedAt > MAX_ACCEPTING) return stop()
    accepted = traffic.accepted
    turnedAt = now
    afterIo(look)
  }
  afterIo(look)
}

/** A response that has begun and does not end by itself. */
function isEventStream(scope: RequestScope | undefined): boolean {
  if (scope === undefined || !scope.begun) return false
  if (scope.connection === null) {
    return String(streamOf(scope)?.sentHeaders?.['content-type']).startsWith('text/event-stream')
  }
  return saysEventStream(scope.response)
}
