import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { rawResponse } from '../http/raw-response.ts'
import { respondInstead } from '../http/respond-instead.ts'
import type { Connection } from '../http/scope.ts'
import type { Traffic } from '../http/traffic.ts'
import { ShutdownError } from '../resilience/abort-reason.ts'
import { after, type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'

/** How often a draining worker looks whether it is done. */
const LOOK_EVERY = ms(25)
/** In a hurry: a keep-alive connection whose last request is younger than this is about to send the next one, as likely as not. */
const IDLE_AFTER = 500
/** Later than clients are told, as Node does it: one that uses its connection up to the last moment is still heard. */
const KEEP_ALIVE_BUFFER = 1_000
/** How long the peer of a closed WebSocket, or of an aborted request, has to take its last bytes. */
const CLOSE_LIMIT = ms(1_000)
/** A WebSocket close frame from a server: FIN and opcode 8, two bytes of payload, 1012 ("service restart", RFC 6455 and IANA's registry). */
const CLOSE_1012 = Buffer.from([0x88, 0x02, 0x03, 0xf4])

/** What leaving came to. */
export interface DrainResult {
  /** Requests answered after the order to drain. */
  readonly answered: number
  /** Requests that got a 503 instead of their answer, or were closed. */
  readonly aborted: number
  readonly closedUpgrades: number
}

/**
 * Takes a worker out of service: it stops accepting, finishes what is in flight, and is done when the last connection has closed.
 *
 * To close an idle keep-alive connection is to race its client, who may be sending the next request at this very moment, and would lose it
 * (RFC 9112, 9.5). So such a connection may send one more request, and is closed with that answer; one that sends nothing is closed
 * when its keep-alive time is over, as it would have been without us. Only in a hurry (when everything stops, and nobody else would
 * answer) are connections closed that have rested for half a second.
 */
export class Drain {
  readonly #traffic: Traffic
  readonly #onDone: (farewell: DrainResult) => void
  #answered = 0
  #aborted = 0
  #closedUpgrades = 0
  readonly #startedAt = monotonicNow()
  readonly #upgradesDueAt: number
  #hurrying = false
  #aborting = false
  #done = false
  readonly #stopLooking: Cancel

  constructor(traffic: Traffic, settings: Settings, onDone: (farewell: DrainResult) => void) {
    this.#traffic = traffic
    this.#onDone = onDone
    this.#upgradesDueAt = this.#startedAt + settings.upgradeGrace
    const { onEnded } = traffic
    traffic.onEnded = (scope, outcome) => {
      if (!this.#aborting) this.#answered++
      onEnded?.(scope, outcome)
    }
    traffic.stopAccepting()
    this.#stopLooking = every(LOOK_EVERY, () => setImmediate(() => this.#look()), { keepAlive: true })
    after(settings.drainTimeout, () => this.abort(), { keepAlive: false })
  }

  /** Waits no longer for clients that have rested for half a second. */
  closeIdle(): void {
    this.#hurrying = true
  }

  /** Answers 503 to whatever is still unanswered and closes the rest. */
  abort(): void {
    if (this.#aborting || this.#done) return
    this.#aborting = true
    const answer = rawResponse('PUNCTUAL_SHUTTING_DOWN')
    for (const scope of this.#traffic.inFlight) {
      // Its client has its answer, and is still to take it.
      if (scope.abandoned) continue
      this.#aborted++
      scope.forcedOutcome ??= 'shutdown'
      scope.enter(() => scope.giveUp(new ShutdownError()))
      respondInstead(this.#traffic, scope, answer)
    }
    after(CLOSE_LIMIT, () => this.#finish(), { keepAlive: true })
  }

  /** Runs right after the loop has read what had arrived, so that a connection that looks idle here has sent nothing. */
  #look(): void {
    if (this.#done) return
    const now = monotonicNow()
    for (const connection of this.#traffic.connections) {
      if (connection.protocol === 'upgraded') {
        if (this.#aborting || now >= this.#upgradesDueAt) this.#closeUpgrade(connection)
      } else if (connection.protocol === 'http') {
        if (this.#isOver(connection, now)) connection.socket.destroySoon()
      } else if (this.#aborting) {
        connection.socket.destroySoon()
      }
    }
    if (this.#traffic.connections.size === 0 && this.#traffic.inFlight.size === 0) this.#finish()
  }

  /** Whether an HTTP connection may be closed. */
  #isOver(connection: Connection, now: number): boolean {
    if (connection.scopes.length > 0) return false
    if (this.#aborting) return true
    if (this.#hurrying) return now - connection.lastSeen >= IDLE_AFTER
    // Node itself closes one that has served a request; one that never sent any has no keep-alive time.
    const { server } = connection.socket as Socket & { readonly server?: Server }
    const keptFor = server?.keepAliveTimeout || Number.POSITIVE_INFINITY
    return now - this.#startedAt >= keptFor + KEEP_ALIVE_BUFFER
  }

  #closeUpgrade(connection: Connection): void {
    if (connection.socket.writableEnded) return
    this.#closedUpgrades++
    if (connection.upgradeProtocol === 'websocket') connection.socket.end(CLOSE_1012)
    else connection.socket.end()
    after(CLOSE_LIMIT, () => connection.socket.destroy(), { keepAlive: false })
  }

  #finish(): void {
    if (this.#done) return
    this.#done = true
    this.#stopLooking()
    this.#onDone({ answered: this.#answered, aborted: this.#aborted, closedUpgrades: this.#closedUpgrades })
  }
}
