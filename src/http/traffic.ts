import type { IncomingMessage, ServerResponse } from 'node:http'
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { OUTCOMES, type Outcome } from '../diagnostics/outcomes.ts'
import { ClientDisconnectedError } from '../resilience/abort-reason.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { bytesSent, hasLeft, isFromNetwork } from './connection-end.ts'
import { ConnectionTable, NESTED, OPAQUE } from './connection-table.ts'
import { Connections } from './connections.ts'
import { type DeadlineSettings, Deadlines } from './deadlines.ts'
import { closeSession, grpcStatusOf, StreamRequest, StreamResponse, streamOf } from './http2-stream.ts'
import type { LoadShedder } from './load-shedding/load-shedder.ts'
import { http } from './node-http.ts'
import { type Connection, type ConnectionProtocol, InFlight, RequestScope } from './scope.ts'

// Read once: these exports are getters, which cost more than what they return.
const { Server, ServerResponse: ServerResponseClass } = http

const SENT = OUTCOMES.indexOf('completed')
/** The status codes of gRPC: github.com/grpc/grpc, doc/statuscodes.md. */
const GRPC_DEADLINE_EXCEEDED = 4
/** UNKNOWN, INTERNAL, UNAVAILABLE and DATA_LOSS: the others are caused by the caller. */
const GRPC_FAILURES: readonly number[] = [2, 13, 14, 15]

/**
 * The state of the servers of this process: listening sockets, connections, and requests in flight.
 */
export class Traffic {
  readonly table: ConnectionTable
  readonly connections: Connections
  readonly inFlight: InFlight = new InFlight()
  readonly deadlines: Deadlines
  /** Servers that are listening. */
  readonly servers: Set<net.Server> = new Set()
  readonly sessions: Set<ServerHttp2Session> = new Set()
  /** Connections accepted so far. */
  accepted = 0
  /** While true, every response tells its client to close the connection. */
  closing = false
  /** Number of calls of `server.listen`, except for private servers. */
  listenCalls = 0
  /** The server that was made for the app's default export. */
  ofExport: net.Server | null = null
  /** Servers that only this process is to reach, on a free port of the loopback address. */
  readonly privateServers: WeakSet<net.Server> = new WeakSet()
  /** False with `--port 0`: such a port may be that of the app. */
  hasPrivateServers = true
  /** Servers that are not listening yet: each must get its socket from the arbiter. */
  readonly toListen: Set<net.Server> = new Set()
  /** Called on `server.listen`. */
  onListen: () => void = () => {}
  /** Called when a server is listening. */
  onListening: (server: net.Server) => void = () => {}
  /** Called when a server cannot listen. */
  onNotListening: () => void = () => {}
  /** Called when a server that was listening has closed. */
  onClosed: () => void = () => {}
  /** Decides when requests are started; null if all are started at once. */
  loadShedder: LoadShedder | null = null
  /** Called when a request has ended, with any outcome. */
  onEnded: ((scope: RequestScope, outcome: Outcome) => void) | null = null

  constructor(table: ConnectionTable = new ConnectionTable(), settings?: DeadlineSettings) {
    this.table = table
    this.connections = new Connections(table)
    this.deadlines = new Deadlines(this.inFlight, table, settings)
  }

  /** @param isPrivate it is on a free port of the loopback address */
  listen(server: net.Server, isPrivate = false): void {
    if (isPrivate && this.hasPrivateServers) this.privateServers.add(server)
    else this.listenCalls++
    this.toListen.add(server)
    this.onListen()
  }

  /** The call had no effect. */
  listenThrew(server: net.Server): void {
    if (!this.privateServers.delete(server)) this.listenCalls--
    this.notListening(server)
  }

  listening(server: net.Server): void {
    this.toListen.delete(server)
    if (this.servers.has(server)) return
    this.servers.add(server)
    this.onListening(server)
  }

  notListening(server: net.Server): void {
    if (this.servers.delete(server)) this.onClosed()
    if (this.toListen.delete(server)) this.onNotListening()
  }

  /**
   * A server was given a connection: by the network, or by another server that has accepted it (a
   * reader of the PROXY protocol, a TLS front).
   *
   * @returns null if it is known, and for the plain socket of a TLS server, whose encrypted socket
   *   is announced next
   */
  connected(server: net.Server, socket: net.Socket): Connection | null {
    this.accepted++
    if (isEncrypted(server)) {
      this.#isKnown(socket, 'other', false)
      return null
    }
    const isHttp = server instanceof Server
    const isPlain = socket instanceof net.Socket && (socket as Partial<TLSSocket>).encrypted !== true
    if (this.#isKnown(socket, isHttp ? 'http' : 'other', isPlain)) return null
    const flags = isHttp && isPlain ? 0 : OPAQUE
    const fd = isPlain ? descriptor(socket) : -1
    return this.#add(socket, isHttp ? 'http' : 'other', fd, flags)
  }

  /** @returns null if it is known */
  connectedSecurely(server: net.Server, socket: TLSSocket): Connection | null {
    // HTTP/2 is drained by session.
    const protocol = socket.alpnProtocol !== 'h2' && 'closeIdleConnections' in server ? 'http' : 'other'
    return this.#isKnown(socket, protocol, false) ? null : this.#add(socket, protocol, -1, OPAQUE)
  }

  /** Whether another server has accepted this connection; if so, notes what it carries now. */
  #isKnown(socket: net.Socket, protocol: ConnectionProtocol, isPlain: boolean): boolean {
    let known = this.connections.of(socket)
    if (known === undefined) {
      known = this.connections.ofWrapped(socket)
      if (known === undefined) return false
      this.connections.wrap(known, socket)
    }
    if (protocol === 'http' && known.protocol === 'other') {
      known.protocol = 'http'
      known.lastSeen = monotonicNow()
      if (isPlain) this.table.makeTransparent(known.slot)
    } else if (protocol === 'other' && known.protocol === 'http') {
      known.protocol = 'other'
      this.table.makeOpaque(known.slot)
    }
    return true
  }

  #add(socket: net.Socket, protocol: ConnectionProtocol, fd: number, flags: number): Connection {
    const now = monotonicNow()
    if (socket instanceof net.Socket) return this.connections.add(socket, protocol, fd, flags, now)
    // A stream that decodes what a socket carries, which is counted already. Its end is not seen
    // by the patch of sockets.
    const connection = this.connections.add(socket, protocol, -1, OPAQUE | NESTED, now)
    ;(socket as Duplex).once('close', () => this.disconnected(connection))
    return connection
  }

  session(session: ServerHttp2Session): void {
    if (this.sessions.has(session)) return
    this.sessions.add(session)
    if (this.closing) closeSession(session, false)
    session.once('close', () => this.sessions.delete(session))
  }

  /** A stream of HTTP/2 has been opened. It has a row of its own, beside that of its connection. */
  beginStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders?: readonly string[]): RequestScope {
    const now = monotonicNow()
    const { deadlines, table } = this
    const request = new StreamRequest(stream, headers, rawHeaders) as unknown as IncomingMessage
    const response = new StreamResponse(stream) as unknown as ServerResponse
    const acceptedAt = deadlines.acceptedAt(request, now)
    const slot = table.open(-1, OPAQUE | NESTED, now)
    const interruptAt = deadlines.interruptAt(acceptedAt)
    const sequence = table.begin(slot, request.method as string, request.url as string, acceptedAt, interruptAt)
    const deadline = deadlines.deadlineOf(acceptedAt, now)
    const scope = new RequestScope(request, response, null, acceptedAt, deadline, sequence)
    if (deadline < interruptAt) scope.deadlineBy = 'caller'
    scope.streamSlot = slot
    if (acceptedAt < now) scope.queuedMs = Math.round(now - acceptedAt)
    this.inFlight.add(scope)
    deadlines.watch(scope)
    stream.once('close', () => this.#streamClosed(scope, stream))
    return scope
  }

  #streamClosed(scope: RequestScope, stream: ServerHttp2Stream): void {
    const { aborted, errored, rstCode, writableFinished } = stream
    // Node reports a reset by the client as an error, too.
    if (errored !== null && (errored as NodeJS.ErrnoException).code !== 'ERR_HTTP2_STREAM_ERROR') {
      scope.forcedOutcome ??= 'failed'
    } else if (aborted || (rstCode !== 0 && !writableFinished)) {
      this.#clientDisconnected(scope)
    }
    this.end(scope)
  }

  begin(request: IncomingMessage, response: ServerResponse): RequestScope {
    const now = monotonicNow()
    const { deadlines } = this
    const acceptedAt = deadlines.acceptedAt(request, now)
    // The compatibility objects of HTTP/2 are no ServerResponse, and their sockets must not be
    // used.
    const own = response instanceof ServerResponseClass
    const connection = own ? (this.connections.of(request.socket) ?? null) : null
    // A pipelined request waits behind another: the row of the connection describes the first until
    // that has ended.
    const slot = connection === null || connection.scopes.length > 0 ? -1 : connection.slot
    const interruptAt = deadlines.interruptAt(acceptedAt)
    const sequence = this.table.begin(slot, request.method as string, request.url as string, acceptedAt, interruptAt)
    const deadline = deadlines.deadlineOf(acceptedAt, now)
    const scope = new RequestScope(request, response, connection, acceptedAt, deadline, sequence)
    if (deadline < interruptAt) scope.deadlineBy = 'caller'
    if (acceptedAt < now) scope.queuedMs = Math.round(now - acceptedAt)
    this.inFlight.add(scope)
    deadlines.watch(scope)
    if (connection !== null) {
      connection.scopes.push(scope)
      connection.lastSeen = now
      if (this.closing) closeAfter(connection, scope)
      if (connection.isClosing) this.#comesTooLate(scope)
    } else {
      this.#endWhenClosed(response, scope)
    }
    return scope
  }

  /** Separate, because a function that contains a closure allocates a context on each call. */
  #endWhenClosed(response: ServerResponse, scope: RequestScope): void {
    response.once('close', () => {
      if (!response.writableEnded) this.#clientDisconnected(scope)
      this.end(scope)
    })
  }

  /** The connection closes after an earlier response: this request is not carried out. */
  #comesTooLate(scope: RequestScope): void {
    scope.forcedOutcome = this.closing ? 'shutdown' : 'failed'
    scope.isTooLate = true
  }

  /** The first byte of a response is about to be sent that the app sends in several parts. */
  streaming(scope: RequestScope): void {
    this.answering(scope)
    this.deadlines.responseBegan(scope)
    const { connection } = scope
    if (connection !== null && connection.scopes[0] === scope) connection.sentBefore = bytesSent(connection.socket)
  }

  /** The first byte of the response is about to be sent. */
  answering(scope: RequestScope): void {
    scope.begun = true
    const { connection } = scope
    if (connection === null) this.table.answering(scope.streamSlot)
    else if (connection.scopes[0] === scope) this.table.answering(connection.slot)
  }

  end(scope: RequestScope): void {
    if (scope.ended) return
    // What its code still does, or starts from now on, is not bound by its deadline any more.
    scope.end()
    this.inFlight.remove(scope)
    const { connection } = scope
    if (connection === null) {
      this.table.end(scope.streamSlot, true)
      this.table.close(scope.streamSlot)
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

  /** Aborts the waits of a request that was not answered; it does not count as a timeout. */
  #clientDisconnected(scope: RequestScope): void {
    if (scope.ended || scope.abandoned) return
    scope.forcedOutcome ??= 'client-disconnected'
    if (scope.reason === undefined) scope.enter(() => scope.giveUp(scope.failure ?? new ClientDisconnectedError()))
  }

  /** @returns null if it is not known */
  upgraded(request: IncomingMessage, socket: net.Socket): Connection | null {
    const connection = this.connections.of(socket)
    if (connection === undefined) return null
    connection.protocol = 'upgraded'
    connection.upgradeProtocol = request.headers.upgrade?.toLowerCase() ?? null
    this.table.makeOpaque(connection.slot)
    return connection
  }

  /**
   * The socket is about to be destroyed: its requests end.
   *
   * @param error with which it is destroyed
   */
  disconnected(connection: Connection, error: Error | null = null): void {
    const isByClient = isFromNetwork(connection.socket, error)
    // What could not be written does not count as waiting any more.
    const isLost = (error as NodeJS.ErrnoException | null)?.syscall === 'write'
    for (let scope = connection.scopes[0]; scope !== undefined; scope = connection.scopes[0]) {
      if (isLost || !hasLeft(scope)) {
        if (!isByClient && !scope.abandoned) {
          scope.forcedOutcome ??= this.closing ? 'shutdown' : 'failed'
          scope.failure = error
        }
        this.#clientDisconnected(scope)
      }
      this.end(scope)
    }
    this.connections.remove(connection)
  }

  /**
   * From now on every response asks its client to close the connection.
   *
   * @param correct is given responses whose head the app has written, but not sent
   */
  close(correct: (response: ServerResponse) => void): void {
    this.closing = true
    for (const scope of this.inFlight) {
      const { begun, connection, response } = scope
      // A response that says so closes the connection before those that are pipelined behind it.
      if (begun || connection?.scopes.at(-1) !== scope) continue
      response.shouldKeepAlive = false
      correct(response)
    }
    const waiting = new Set([...this.inFlight].map((scope) => streamOf(scope)?.session))
    for (const session of this.sessions) closeSession(session, waiting.has(session))
  }
}

/** While draining, the last response of a connection closes it: that of this new request. */
function closeAfter(connection: Connection, { response }: RequestScope): void {
  response.shouldKeepAlive = false
  const before = connection.scopes.at(-2)?.response
  if (before === undefined) connection.isClosing ||= connection.socket.writableEnded
  // The one before it was the last until now.
  else if (!before.headersSent) before.shouldKeepAlive = true
  else if (!before.shouldKeepAlive) connection.isClosing = true
}

/** By a method, not by class: loading `node:tls` costs 7 MB, also in apps without encryption. */
function isEncrypted(server: net.Server): boolean {
  return 'setSecureContext' in server
}

function descriptor(socket: net.Socket): number {
  return (socket as net.Socket & { _handle?: { fd?: number } })._handle?.fd ?? -1
}

/** The outcome of a request that has ended. */
export function outcomeOf(scope: RequestScope): Outcome {
  if (scope.forcedOutcome !== null) return scope.forcedOutcome
  const { statusCode } = scope.response
  const { hasWaited } = scope
  if (scope.connection === null) {
    const grpcStatus = grpcStatusOf(scope)
    if (grpcStatus === GRPC_DEADLINE_EXCEEDED) return 'timed-out'
    if (grpcStatus !== null && GRPC_FAILURES.includes(grpcStatus)) return 'failed'
  }
  if (statusCode >= 500)
    return hasWaited && isTimeoutStatus(statusCode) && hasTimedOutWait(scope) ? 'timed-out' : 'failed'
  return hasWaited && scope.waits.count('degraded') > 0 ? 'degraded' : 'completed'
}

function isTimeoutStatus(status: number): boolean {
  return status === 503 || status === 504
}

function hasTimedOutWait({ waits }: RequestScope): boolean {
  return waits.count('timed-out') > 0 || waits.count('refused') > 0
}
