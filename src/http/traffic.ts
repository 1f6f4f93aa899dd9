import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import net from 'node:net'
import type { TLSSocket } from 'node:tls'
import { OUTCOMES, type Outcome } from '../diagnostics/outcomes.ts'
import { ClientDisconnectedError } from '../resilience/abort-reason.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { ConnectionTable, OPAQUE } from './connection-table.ts'
import { Connections } from './connections.ts'
import { type DeadlineLimits, Deadlines } from './deadlines.ts'
import type { LoadShedder } from './load-shedding/load-shedder.ts'
import { http } from './node-http.ts'
import { outcomeOf } from './outcome.ts'
import { type Connection, InFlight, RequestScope } from './scope.ts'

// Read once: the module's exports hold getters, and a look into them costs more than what is looked for.
const { Server, ServerResponse: ServerResponseClass } = http

const SENT = OUTCOMES.indexOf('completed')

/** Everything that goes through the servers of this process: who listens, who is connected, what is being answered. */
export class Traffic {
  readonly table: ConnectionTable
  readonly connections: Connections
  readonly inFlight: InFlight = new InFlight()
  readonly deadlines: Deadlines
  /** Servers that listen. */
  readonly servers: Set<net.Server> = new Set()
  readonly sessions: Set<ServerHttp2Session> = new Set()
  /** Once true, every answer tells its client not to use the connection again. */
  closing = false
  /** How often anybody asked a server to listen, listening or not yet. */
  listenCalls = 0
  /** Servers that have been asked to listen and do not yet: each must ask the arbiter for its socket. */
  readonly toListen: Set<net.Server> = new Set()
  /** Called when a server is asked to listen. */
  onListen: () => void = () => {}
  /** Called when a server has begun to listen. */
  onListening: (server: net.Server) => void = () => {}
  /** Called when a server cannot listen. */
  onNotListening: () => void = () => {}
  /** Who decides which requests are begun; null where all are, at once. */
  loadShedder: LoadShedder | null = null
  /** Called when a request has ended, whatever its end. */
  onEnded: ((scope: RequestScope, outcome: Outcome) => void) | null = null

  constructor(table: ConnectionTable = new ConnectionTable(), limits?: DeadlineLimits) {
    this.table = table
    this.connections = new Connections(table)
    this.deadlines = new Deadlines(this.inFlight, table, limits)
  }

  listen(server: net.Server): void {
    this.listenCalls++
    this.toListen.add(server)
    this.onListen()
  }

  listening(server: net.Server): void {
    this.toListen.delete(server)
    this.servers.add(server)
    this.onListening(server)
  }

  notListening(server: net.Server): void {
    this.servers.delete(server)
    if (this.toListen.delete(server)) this.onNotListening()
  }

  /** @returns null for the plain socket of a TLS server, whose encrypted socket is announced next */
  connected(server: net.Server, socket: net.Socket): Connection | null {
    if (isEncrypted(server)) return null
    const isHttp = server instanceof Server
    const flags = isHttp ? 0 : OPAQUE
    return this.connections.add(socket, isHttp ? 'http' : 'other', descriptor(socket), flags, monotonicNow())
  }

  connectedSecurely(server: net.Server, socket: TLSSocket): Connection {
    // HTTP/2 is drained by session.
    const protocol = socket.alpnProtocol !== 'h2' && 'closeIdleConnections' in server ? 'http' : 'other'
    return this.connections.add(socket, protocol, -1, OPAQUE, monotonicNow())
  }

  session(session: ServerHttp2Session): void {
    this.sessions.add(session)
    session.once('close', () => this.sessions.delete(session))
  }

  begin(request: IncomingMessage, response: ServerResponse): RequestScope {
    const now = monotonicNow()
    const { deadlines } = this
    const acceptedAt = deadlines.acceptedAt(request, now)
    // HTTP/2's compatibility objects are no ServerResponse, and their sockets must not be touched.
    const own = response instanceof ServerResponseClass
    const connection = own ? (this.connections.of(request.socket) ?? null) : null
    // A pipelined request waits behind another: the connection's row speaks of the first until that has ended.
    const slot = connection === null || connection.scopes.length > 0 ? -1 : connection.slot
    const cutAt = deadlines.interruptAt(acceptedAt)
    const sequence = this.table.begin(slot, request.method as string, request.url as string, acceptedAt, cutAt)
    const deadline = deadlines.deadlineOf(acceptedAt, now)
    const scope = new RequestScope(request, response, connection, acceptedAt, deadline, sequence)
    if (acceptedAt < now) scope.queuedMs = Math.round(now - acceptedAt)
    this.inFlight.add(scope)
    deadlines.watch(scope)
    if (connection !== null) {
      connection.scopes.push(scope)
      connection.lastSeen = now
    } else {
      this.#endWhenClosed(response, scope)
    }
    if (this.closing && own) response.shouldKeepAlive = false
    return scope
  }

  /** Apart, because a function that holds a closure costs a context on every call. */
  #endWhenClosed(response: ServerResponse, scope: RequestScope): void {
    response.once('close', () => {
      if (!response.writableEnded) this.#clientLeft(scope)
      this.end(scope)
    })
  }

  /** The first byte of the response is about to leave. */
  answering(scope: RequestScope): void {
    scope.begun = true
    const { connection } = scope
    if (connection !== null && connection.scopes[0] === scope) this.table.answering(connection.slot)
  }

  end(scope: RequestScope): void {
    if (scope.ended) return
    scope.ended = true
    this.inFlight.remove(scope)
    const { connection } = scope
    if (connection === null) {
      this.table.end(-1, true)
    } else {
      const { scopes } = connection
      if (scopes.length === 1) scopes.pop()
      else if (scopes[0] === scope) scopes.shift()
      else scopes.splice(scopes.indexOf(scope), 1)
      const next = scopes[0]
      this.table.end(connection.slot, next === undefined)
      if (next?.begun) this.table.answering(connection.slot)
    }
    const outcome = outcomeOf(scope)
    this.table.countOutcome(outcome === 'completed' ? SENT : OUTCOMES.indexOf(outcome))
    this.onEnded?.(scope, outcome)
    scope.unnamed?.drop()
  }

  /** Before it was answered: what it still waits for is given up, which is no time-out. */
  #clientLeft(scope: RequestScope): void {
    if (scope.ended || scope.abandoned) return
    scope.forcedOutcome ??= 'client-disconnected'
    if (scope.reason === undefined) scope.enter(() => scope.giveUp(new ClientDisconnectedError()))
  }

  upgraded(request: IncomingMessage, socket: net.Socket): void {
    const connection = this.connections.of(socket)
    if (connection === undefined) return
    connection.protocol = 'upgraded'
    connection.upgradeProtocol = request.headers.upgrade?.toLowerCase() ?? null
    this.table.makeOpaque(connection.slot)
  }

  /** The socket begins to be destroyed: its requests end with it. */
  disconnected(connection: Connection): void {
    for (let scope = connection.scopes[0]; scope !== undefined; scope = connection.scopes[0]) {
      if (!scope.response.writableEnded) this.#clientLeft(scope)
      this.end(scope)
    }
    this.connections.remove(connection)
  }

  /**
   * Accepts no new connection from now on, and asks the clients of the open ones not to use them again. The listening
   * socket itself stays open in the arbiter, so that whoever connects waits for the next worker instead of being refused.
   */
  stopAccepting(): void {
    this.closing = true
    for (const scope of this.inFlight) {
      if (!scope.begun && scope.connection !== null) scope.response.shouldKeepAlive = false
    }
    for (const server of this.servers) {
      // Not `http.Server`'s own close: that also drops idle connections at once, and with them the request a client is
      // sending at this very moment.
      if (server.listening) net.Server.prototype.close.call(server)
    }
    for (const session of this.sessions) session.close()
  }
}

/** By its method, not its class: to load `node:tls` costs 7 MB, which an app without encryption need not pay. */
function isEncrypted(server: net.Server): boolean {
  return 'setSecureContext' in server
}

function descriptor(socket: net.Socket): number {
  return (socket as net.Socket & { _handle?: { fd?: number } })._handle?.fd ?? -1
}
