/**
 * Patches of `net.Server.prototype` (`emit`, `listen`), `http.IncomingMessage.prototype` (`push`,
 * `_destroy`; `emit` of single requests), `http.ServerResponse.prototype` (`emit`, `write`, `end`,
 * `flushHeaders`, `writeProcessing`) and `net.Socket.prototype._destroy`.
 *
 * Why: an unchanged app gets a scope, a deadline and a record per request, with any framework it
 * uses. Node's diagnostics channels report requests, but can neither run them in a scope nor
 * withhold them, and say nothing of sockets.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/http-server.test.ts
 */
import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import net from 'node:net'
import type { TLSSocket } from 'node:tls'
import { isServerStream } from '../http/http2-stream.ts'
import type { LoadShedder } from '../http/load-shedding/load-shedder.ts'
import { http } from '../http/node-http.ts'
import {
  type Connection,
  connectionOf,
  type RequestScope,
  runInScope,
  runningRequest,
  scopeOf,
  scopeOfResponse,
  scopes,
} from '../http/scope.ts'
import type { Traffic } from '../http/traffic.ts'
import { patchCompressors } from './compressors.ts'
import { patchStreams } from './http2-streams.ts'
import { endIdleTimer, replaceIdleTimer } from './idle-timer.ts'
import { defineMethod } from './patch-function.ts'
import { isPrivateListen } from './socket-addresses.ts'
import { followFrames } from './upgraded-sockets.ts'

type Emit = (this: EventEmitter, event: string | symbol, ...args: unknown[]) => boolean
type Method = (this: ServerResponse, chunk?: unknown, encoding?: unknown, callback?: unknown) => unknown
/** The arguments of `emit` for a stream. */
type StreamEvent = readonly [
  event: string,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: readonly string[] | undefined,
]
type Scoped = object & { [scopeOf]?: RequestScope }

/**
 * The `emit` that a request had before: the one of its prototype, or one that a library of the app
 * has set.
 */
const innerEmit = Symbol('punctual.innerEmit')
type Patched = EventEmitter & Scoped & { [innerEmit]?: Emit }

/**
 * Reports what the servers of this process do to `traffic`, and runs requests in their scopes.
 * Called once, before the app is loaded. A request costs one scope, one row in shared memory and
 * one AsyncLocalStorage context; no listener is added to it.
 */
export function patchServers(traffic: Traffic): void {
  patchServerEvents(traffic)
  patchMessageEvents(traffic)
  patchResponses(traffic)
  patchSockets(traffic)
  patchCompressors()
}

/**
 * All servers (net, tls, http, https, http2) inherit `emit` from `net.Server`. An agent that was
 * loaded before (`-r`, `NODE_OPTIONS`) may have given one of the others an `emit` of its own, which
 * does not call that of `net.Server`.
 */
function patchServerEvents(traffic: Traffic): void {
  patchEmit(net.Server.prototype, traffic)
  if (Object.hasOwn(http.Server.prototype, 'emit')) patchEmit(http.Server.prototype, traffic)

  const listen = net.Server.prototype.listen as (this: net.Server, ...args: unknown[]) => net.Server
  defineMethod(net.Server.prototype, 'listen', function (this: net.Server, ...args: unknown[]): net.Server {
    const holder = shadowingHolder(this)
    if (holder !== null) patchEmit(holder, traffic)
    // A second call throws, and the server goes on listening.
    const isRepeated = this.listening || traffic.toListen.has(this)
    if (!isRepeated) traffic.listen(this, isPrivateListen(args))
    try {
      return listen.apply(this, args)
    } catch (error) {
      // It has invalid arguments, and emits nothing.
      if (!isRepeated) traffic.listenThrew(this)
      throw error
    }
  })
}

/** An event without a meaning, which shows whether the events of a server are seen here. */
const PROBE = Symbol('punctual.probe')
let hasSeenProbe = false

/** The object whose own `emit` keeps the events of this server from being seen; null if none. */
function shadowingHolder(server: net.Server): object | null {
  if (server.emit === net.Server.prototype.emit) return null
  hasSeenProbe = false
  try {
    server.emit(PROBE as unknown as string)
  } catch {
    // Code of the app that expects names.
  }
  if (hasSeenProbe) return null
  let holder: object | null = server
  while (holder !== null && !Object.hasOwn(holder, 'emit')) holder = Object.getPrototypeOf(holder)
  return holder
}

/** A server whose events pass several such functions is seen by all; the second changes nothing. */
function patchEmit(holder: object, traffic: Traffic): void {
  const base = (holder as net.Server).emit as Emit
  const { table } = traffic
  // Separate, because a function that contains a closure allocates a context on each call.
  const isWithheld = (shedder: LoadShedder, scope: RequestScope, server: net.Server, event: string): boolean =>
    !shedder.admit(scope, () => emitRequest(scope, server, event))
  const emitRequest = (scope: RequestScope, server: net.Server, event: string): boolean => {
    table.running = scope.sequence
    const heard = base.call(server, event, scope.request, scope.response)
    table.running = 0
    return heard
  }

  const emitStream = (stream: ServerHttp2Stream & Scoped, server: net.Server, args: StreamEvent): boolean => {
    const scope = traffic.beginStream(stream, args[2], args[4])
    stream[scopeOf] = scope
    patchStreams(stream, traffic)
    const emit = (): boolean => runInScope(scope, emitInScope, server, args)
    const { loadShedder } = traffic
    return loadShedder?.needsAdmissionCheck(scope) === true && !loadShedder.admit(scope, emit) ? true : emit()
  }
  const emitInScope = (scope: RequestScope, server: net.Server, args: StreamEvent): boolean => {
    table.running = scope.sequence
    const heard = base.apply(server, args as unknown as Parameters<Emit>)
    table.running = 0
    return heard
  }

  defineMethod(
    holder,
    'emit',
    function emit(this: net.Server, event: string | symbol, first: unknown, second: unknown): boolean {
      switch (event) {
        case 'request':
        case 'checkContinue':
        case 'checkExpectation': {
          const request = first as IncomingMessage & Scoped
          const response = second as ServerResponse
          // A request with an `Expect` header is emitted twice if there is no listener for
          // `checkContinue`.
          if (request[scopeOf] !== undefined) break
          // The compatibility API of HTTP/2 has made these objects of a stream.
          const scopeOfStream = (response as { readonly stream?: Scoped }).stream?.[scopeOf]
          if (scopeOfStream !== undefined) {
            request[scopeOf] = scopeOfStream
            scopeOfStream.request = request
            scopeOfStream.response = response
            break
          }
          const scope = traffic.begin(request, response)
          request[scopeOf] = scope
          if (scope.isTooLate) return true
          const { loadShedder } = traffic
          if (loadShedder?.needsAdmissionCheck(scope) && isWithheld(loadShedder, scope, this, event)) return true
          // Node's parser emits a request in a callback of its own, and the context entered there
          // ends with that callback.
          if (scope.connection === null || table.running !== 0) return runInScope(scope, emitRequest, this, event)
          scopes.enterWith(scope)
          return emitRequest(scope, this, event)
        }
        case 'stream': {
          const stream = first as ServerHttp2Stream & Scoped
          if (!isServerStream(stream) || stream[scopeOf] !== undefined) break
          // biome-ignore lint/complexity/noArguments: as below.
          return emitStream(stream, this, arguments as unknown as StreamEvent)
        }
        case 'connection':
          useIdleTimer(traffic.connected(this, first as net.Socket))
          break
        case 'secureConnection':
          useIdleTimer(traffic.connectedSecurely(this, first as TLSSocket))
          break
        case 'upgrade':
        case 'connect':
          followFrames(traffic.upgraded(first as IncomingMessage, second as net.Socket))
          break
        case 'session':
          traffic.session(first as ServerHttp2Session)
          break
        case 'listening':
          traffic.listening(this)
          break
        case 'close':
          traffic.notListening(this)
          break
        case 'error':
          if (!this.listening) traffic.notListening(this)
          break
        case PROBE:
          hasSeenProbe = true
          return false
      }
      // biome-ignore lint/complexity/noArguments: passing them on is free; an array would take a tenth of a small request.
      return base.apply(this, arguments as unknown as Parameters<Emit>)
    },
  )
}

/**
 * Runs the events of a request or a response in the scope of that request. Node emits those that
 * the network causes (`data` and `end` of a body, a disconnect) in the context of the connection,
 * outside of any request, and with them the body parser of every framework and the handler after
 * it.
 *
 * A request gets its own `emit` only when the network causes an event that has a listener. Patching
 * the prototype instead would take a tenth of the time of a small request.
 */
function patchMessageEvents({ table, deadlines }: Traffic): void {
  const emitScoped = (scope: RequestScope, message: Patched, args: Parameters<Emit>): boolean => {
    const outer = table.running
    table.running = scope.sequence
    const heard = (message[innerEmit] ?? baseEmit).apply(message, args)
    table.running = outer
    return heard
  }
  const baseEmit = http.IncomingMessage.prototype.emit as Emit
  const requestEmit = function emit(this: Patched, ...args: Parameters<Emit>): boolean {
    const inner = this[innerEmit] ?? baseEmit
    const event = args[0]
    const listeners = this.listenerCount(event)
    if (listeners === 0 && event !== 'error') return false
    const scope = this[scopeOf]
    if (scope === undefined || runningRequest() === scope) return inner.apply(this, args)
    // If a request is answered before it has been read, Node adds a listener for its end: the only
    // one here is Node's.
    if (listeners === 1 && event === 'end' && scope.ended) return inner.apply(this, args)
    return runInScope(scope, emitScoped, this, args)
  }
  const listen = (request: IncomingMessage & Patched): void => {
    if (request[innerEmit] !== undefined) return
    request[innerEmit] = request.emit as Emit
    defineMethod(request, 'emit', requestEmit)
  }

  const { prototype } = http.IncomingMessage
  const { push } = prototype
  const destroy = prototype._destroy as (
    this: IncomingMessage,
    error: Error | null,
    done: (error?: Error | null) => void,
  ) => void
  defineMethod(
    prototype,
    'push',
    function (this: IncomingMessage & Patched, chunk: unknown, encoding?: BufferEncoding): boolean {
      const scope = this[scopeOf]
      if (scope !== undefined) {
        if (chunk !== null || isRead(this)) listen(this)
        if (chunk === null && scope.isReceiving) deadlines.bodyArrives(scope)
      }
      return push.call(this, chunk, encoding)
    },
  )
  defineMethod(
    prototype,
    '_destroy',
    function (this: IncomingMessage & Patched, error: Error | null, done: (error?: Error | null) => void): void {
      const scope = this[scopeOf]
      if (scope !== undefined && (!scope.ended || this.listenerCount('close') > 0)) listen(this)
      destroy.call(this, error, done)
    },
  )

  const responses = http.ServerResponse.prototype
  const baseOfResponses = responses.emit as Emit
  defineMethod(responses, 'emit', function emit(this: ServerResponse, event: string | symbol): boolean {
    // The network causes these two: the client reads again, or disconnects.
    if ((event === 'drain' || event === 'close') && this.listenerCount(event) > 0) {
      const scope = scopeOfResponse(this)
      if (scope !== undefined && runningRequest() !== scope)
        return runInScope(scope, emitScoped, this as Patched, [event])
    }
    // biome-ignore lint/complexity/noArguments: as above.
    return baseOfResponses.apply(this, arguments as unknown as Parameters<Emit>)
  })
}

/** Whether the app waits for the end of the body, which may be empty. */
function isRead(request: IncomingMessage): boolean {
  return request.listenerCount('end') > 0 || request.listenerCount('readable') > 0
}

/** `write`, `end` and `flushHeaders` send the first byte of a response, and `end` the last. */
function patchResponses(traffic: Traffic): void {
  const prototype = http.ServerResponse.prototype
  const { write, end, flushHeaders, writeProcessing } = prototype as unknown as Record<
    'write' | 'end' | 'flushHeaders' | 'writeProcessing',
    Method
  >
  // Separate, because a function that contains a closure allocates a context on each call.
  const endWhenFinished = (response: ServerResponse, scope: RequestScope): void => {
    response.once('finish', () => {
      // Node 22 emits it also if the last write has failed; the connection is destroyed next.
      const error = scope.connection?.socket.errored ?? null
      if (error === null) traffic.end(scope)
    })
  }
  // Some middleware replaces Node's request by its own.
  const find = (response: ServerResponse): RequestScope | undefined =>
    scopeOfResponse(response) ?? traffic.inFlight.findByResponse(response)
  const begin = (response: ServerResponse): void => {
    const scope = find(response)
    if (scope !== undefined && !scope.begun) traffic.streaming(scope)
  }

  // Without rest parameters: allocating an array would take longer than the rest of these
  // functions.
  defineMethod(
    prototype,
    'write',
    function (this: ServerResponse, chunk?: unknown, encoding?: unknown, callback?: unknown): unknown {
      begin(this)
      return write.call(this, chunk, encoding, callback)
    },
  )
  defineMethod(prototype, 'flushHeaders', function (this: ServerResponse): unknown {
    begin(this)
    return flushHeaders.call(this)
  })
  defineMethod(prototype, 'writeProcessing', function (this: ServerResponse, callback?: unknown): unknown {
    const scope = find(this)
    if (scope !== undefined) traffic.deadlines.stillWorking(scope)
    return writeProcessing.call(this, callback)
  })
  defineMethod(
    prototype,
    'end',
    function (this: ServerResponse, chunk?: unknown, encoding?: unknown, callback?: unknown): unknown {
      const scope = find(this)
      if (scope !== undefined && !scope.begun) traffic.answering(scope)
      const result = end.call(this, chunk, encoding, callback)
      if (scope !== undefined && !scope.ended) {
        // Nearly always the kernel has accepted the whole response by now. If not, the client is
        // slow.
        if (this.writableEnded && this.writableLength === 0) traffic.end(scope)
        else {
          traffic.deadlines.responseBegan(scope)
          endWhenFinished(this, scope)
        }
      }
      return result
    },
  )
}

/**
 * The row of a connection must be cleared before its descriptor is closed: the next `open` gets the
 * same number.
 */
function patchSockets(traffic: Traffic): void {
  const base = net.Socket.prototype._destroy
  defineMethod(
    net.Socket.prototype,
    '_destroy',
    function (
      this: net.Socket & { [connectionOf]?: Connection },
      error: Error | null,
      callback: (error?: Error | null) => void,
    ): void {
      const connection = this[connectionOf]
      if (connection !== undefined) {
        traffic.disconnected(connection, error)
        endIdleTimer(this)
      }
      base.call(this, error, callback)
    },
  )
}

/** Only of HTTP/1.1: other protocols have their own idle handling. */
function useIdleTimer(connection: Connection | null): void {
  if (connection?.protocol === 'http' && connection.socket instanceof net.Socket) replaceIdleTimer(connection.socket)
}
