import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { rawResponse } from '../http/raw-response.ts'
import { respondInstead } from '../http/respond-instead.ts'
import type { Connection } from '../http/scope.ts'
import type { Traffic } from '../http/traffic.ts'
import { ShutdownError } from '../resilience/abort-reason.ts'
import { after, afterIo, type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'

/** How often a draining worker checks whether it is done. */
const CHECK_INTERVAL = ms(25)
/**
 * When everything stops, a keep-alive connection counts as idle this long after its last request,
 * in milliseconds: before that its client is likely to send the next one.
 */
const IDLE_AFTER = 500
/** Milliseconds that a connection stays open beyond its keep-alive time, as in Node. */
const KEEP_ALIVE_BUFFER = 1_000
/**
 * How long the peer of a closed WebSocket, or of an aborted request, has to read the last bytes.
 */
const CLOSE_TIMEOUT = ms(1_000)
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

type DrainState =
  /** Requests in flight finish; idle connections stay open until their keep-alive time is over. */
  | 'draining'
  /** Everything stops: connections that have been idle for half a second are closed, too. */
  | 'closing-idle'
  /** Unanswered requests were answered 503; their clients have a second to read it. */
  | 'aborting'
  | 'done'

/**
 * Takes a worker out of service: stops accepting, finishes the requests in flight, and is done when
 * the last connection has closed.
 *
 * Closing an idle keep-alive connection races with its client, who may be sending the next request
 * and would lose it (RFC 9112, 9.5). So an idle connection may carry one more request, and is
 * closed with that answer, or at the end of its keep-alive time. Only when no other worker keeps
 * serving are idle connections closed early.
 */
export class Drain {
  readonly #traffic: Traffic
  readonly #onDone: (result: DrainResult) => void
  #answered = 0
  #aborted = 0
  #closedUpgrades = 0
  readonly #startedAt = monotonicNow()
  readonly #upgradesDueAt: number
  #state: DrainState = 'draining'
  readonly #stopChecking: Cancel

  constructor(traffic: Traffic, settings: Settings, onDone: (result: DrainResult) => void) {
    this.#traffic = traffic
    this.#onDone = onDone
    this.#upgradesDueAt = this.#startedAt + settings.upgradeGrace
    const { onEnded } = traffic
    traffic.onEnded = (scope, outcome) => {
      if (this.#state !== 'aborting') this.#answered++
      onEnded?.(scope, outcome)
    }
    traffic.stopAccepting()
    this.#stopChecking = every(CHECK_INTERVAL, () => afterIo(() => this.#check()), { keepAlive: true })
    after(settings.drainTimeout, () => this.abort(), { keepAlive: false })
  }

  /** Closes connections that have been idle for half a second; no other worker keeps serving. */
  closeIdle(): void {
    if (this.#state === 'draining') this.#become('closing-idle')
  }

  /** Answers 503 to every unanswered request, and closes the other connections. */
  abort(): void {
    if (this.#state === 'aborting' || this.#state === 'done') return
    this.#become('aborting')
    const answer = rawResponse('PUNCTUAL_SHUTTING_DOWN')
    for (const scope of this.#traffic.inFlight) {
      // It was answered before, and its client still has to read the answer.
      if (scope.abandoned) continue
      this.#aborted++
      scope.forcedOutcome ??= 'shutdown'
      scope.enter(() => scope.giveUp(new ShutdownError()))
      respondInstead(this.#traffic, scope, answer)
    }
    after(CLOSE_TIMEOUT, () => this.#finish(), { keepAlive: true })
  }

  /**
   * Runs right after the event loop has read from the sockets: an idle connection has sent nothing.
   */
  #check(): void {
    if (this.#state === 'done') return
    const aborting = this.#state === 'aborting'
    const now = monotonicNow()
    for (const connection of this.#traffic.connections) {
      if (connection.protocol === 'upgraded') {
        if (aborting || now >= this.#upgradesDueAt) this.#closeUpgrade(connection)
      } else if (connection.protocol === 'http') {
        if (this.#isOver(connection, now)) destroySoon(connection.socket)
      } else if (aborting) {
        destroySoon(connection.socket)
      }
    }
    if (this.#traffic.connections.size === 0 && this.#traffic.inFlight.size === 0) this.#finish()
  }

  /** Whether an HTTP connection may be closed. */
  #isOver(connection: Connection, now: number): boolean {
    if (connection.scopes.length > 0) return false
    if (this.#state === 'aborting') return true
    if (this.#state === 'closing-idle') return now - connection.lastSeen >= IDLE_AFTER
    // Node closes a connection that has served a request; one without a request has no keep-alive
    // time.
    const { server } = connection.socket as Socket & { readonly server?: Server }
    const keptFor = server?.keepAliveTimeout || Number.POSITIVE_INFINITY
    return now - this.#startedAt >= keptFor + KEEP_ALIVE_BUFFER
  }

  #closeUpgrade(connection: Connection): void {
    if (connection.socket.writableEnded) return
    this.#closedUpgrades++
    if (connection.upgradeProtocol === 'websocket') connection.socket.end(CLOSE_1012)
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
function destroySoon(socket: Socket): void {
  if (typeof socket.destroySoon === 'function') socket.destroySoon()
  else if (!(socket as Socket).writableEnded) (socket as Socket).end(() => (socket as Socket).destroy())
}
