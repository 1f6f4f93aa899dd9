import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import net from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Admission } from './admission/admission.ts'
import { http } from './node-http.ts'
import {
  type Connection,
  connectionOf,
  inScope,
  type RequestScope,
  runningRequest,
  scopeOf,
  scopeOfResponse,
  scopes,
} from './scope.ts'
import type { Traffic } from './traffic.ts'

type Emit = (this: EventEmitter, event: string | symbol, ...args: unknown[]) => boolean
type Method = (this: ServerResponse, chunk?: unknown, encoding?: unknown, callback?: unknown) => unknown
type Scoped = object & { [scopeOf]?: RequestScope }

/** What `emit` of a request was before it became ours: that of its prototype, or one that a library of the app has given it. */
const innerEmit = Symbol('punctual.innerEmit')
type Hooked = EventEmitter & Scoped & { [innerEmit]?: Emit }

/**
 * Watches the servers of an unchanged app from below: the prototypes of Node's own classes are wrapped, once, before the app is
 * loaded. An app's framework sees nothing of it. What is added to a request is one scope, one row in shared memory and one
 * AsyncLocalStorage; nothing is listened for that a request does not do anyway.
 */
export function hookServers(traffic: Traffic): void {
  hookServerEvents(traffic)
  hookMessageEvents(traffic)
  hookResponses(traffic)
  hookSockets(traffic)
}

/** Every event of every server (net, tls, http, https, http2) passes through the `emit` they all inherit from `net.Server`. */
function hookServerEvents(traffic: Traffic): void {
  const base = net.Server.prototype.emit as Emit
  const { table } = traffic
  // Apart, because a function that holds a closure costs a context on every call.
  const isHeldBack = (admission: Admission, scope: RequestScope, server: net.Server, event: string): boolean =>
    !admission.receive(scope, () => emitRequest(scope, server, event))
  const emitRequest = (scope: RequestScope, server: net.Server, event: string): boolean => {
    table.running = scope.sequence
    const heard = base.call(server, event, scope.request, scope.response)
    table.running = 0
    return heard
  }

  define(
    net.Server.prototype,
    'emit',
    function emit(this: net.Server, event: string | symbol, first: unknown, second: unknown): boolean {
      switch (event) {
        case 'request':
        case 'checkContinue':
        case 'checkExpectation': {
          const request = first as IncomingMessage & Scoped
          const response = second as ServerResponse
          // An Expect header brings the same request here twice when nobody listens for `checkContinue`.
          if (request[scopeOf] !== undefined) break
          const scope = traffic.begin(request, response)
          request[scopeOf] = scope
          const { admission } = traffic
          if (admission?.isWary(scope) && isHeldBack(admission, scope, this, event)) return true
          // Node's parser emits a request in a callback of its own, with nothing around it to come back to: what is entered there ends with it.
          if (scope.connection === null || table.running !== 0) return inScope(scope, emitRequest, this, event)
          scopes.enterWith(scope)
          return emitRequest(scope, this, event)
        }
        case 'connection':
          traffic.connected(this, first as net.Socket)
          break
        case 'secureConnection':
          traffic.connectedSecurely(this, first as TLSSocket)
          break
        case 'upgrade':
        case 'connect':
          traffic.upgraded(first as IncomingMessage, second as net.Socket)
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
      }
      // biome-ignore lint/complexity/noArguments: passed on as they are, they cost nothing; gathered into an array, a tenth of a small request.
      return base.apply(this, arguments as unknown as Parameters<Emit>)
    },
  )

  const listen = net.Server.prototype.listen as (this: net.Server, ...args: unknown[]) => net.Server
  define(net.Server.prototype, 'listen', function (this: net.Server, ...args: unknown[]): net.Server {
    traffic.listen(this)
    return listen.apply(this, args)
  })
}

/**
 * Events of a request or a response run in the scope of that request. Node alone would run those that the network causes (a
 * body's `data` and `end`, a client that leaves) in the scope of the connection, which is none, and with them every framework's body parser
 * and the handler behind it.
 *
 * A request gets an `emit` of its own only once the network has something to say that somebody listens for. One for all requests costs every
 * small one a tenth of its time, for events that nobody hears.
 */
function hookMessageEvents({ table }: Traffic): void {
  const emitScoped = (scope: RequestScope, message: Hooked, args: Parameters<Emit>): boolean => {
    const outer = table.running
    table.running = scope.sequence
    const heard = (message[innerEmit] ?? baseEmit).apply(message, args)
    table.running = outer
    return heard
  }
  const baseEmit = http.IncomingMessage.prototype.emit as Emit
  const requestEmit = function emit(this: Hooked, ...args: Parameters<Emit>): boolean {
    const inner = this[innerEmit] ?? baseEmit
    const event = args[0]
    const listeners = this.listenerCount(event)
    if (listeners === 0 && event !== 'error') return false
    const scope = this[scopeOf]
    if (scope === undefined || runningRequest() === scope) return inner.apply(this, args)
    // When a request is answered before its end has come, Node adds a listener of its own for that: the only one here is Node's.
    if (listeners === 1 && event === 'end' && scope.ended) return inner.apply(this, args)
    return inScope(scope, emitScoped, this, args)
  }
  const listen = (request: IncomingMessage & Hooked): void => {
    if (request[innerEmit] !== undefined) return
    request[innerEmit] = request.emit as Emit
    define(request, 'emit', requestEmit)
  }

  const { prototype } = http.IncomingMessage
  const { push } = prototype
  const destroy = prototype._destroy as (
    this: IncomingMessage,
    error: Error | null,
    done: (error?: Error | null) => void,
  ) => void
  define(
    prototype,
    'push',
    function (this: IncomingMessage & Hooked, chunk: unknown, encoding?: BufferEncoding): boolean {
      if (this[scopeOf] !== undefined && (chunk !== null || isRead(this))) listen(this)
      return push.call(this, chunk, encoding)
    },
  )
  define(
    prototype,
    '_destroy',
    function (this: IncomingMessage & Hooked, error: Error | null, done: (error?: Error | null) => void): void {
      const scope = this[scopeOf]
      if (scope !== undefined && (!scope.ended || this.listenerCount('close') > 0)) listen(this)
      destroy.call(this, error, done)
    },
  )

  const responses = http.ServerResponse.prototype
  const baseOfResponses = responses.emit as Emit
  define(responses, 'emit', function emit(this: ServerResponse, event: string | symbol): boolean {
    // The two that the network causes: there is room again, and the client has left.
    if ((event === 'drain' || event === 'close') && this.listenerCount(event) > 0) {
      const scope = scopeOfResponse(this)
      if (scope !== undefined && runningRequest() !== scope) return inScope(scope, emitScoped, this as Hooked, [event])
    }
    // biome-ignore lint/complexity/noArguments: as above.
    return baseOfResponses.apply(this, arguments as unknown as Parameters<Emit>)
  })
}

/** Somebody waits for the end of this body, even an empty one. */
function isRead(request: IncomingMessage): boolean {
  return request.listenerCount('end') > 0 || request.listenerCount('readable') > 0
}

/** `write`, `end` and `flushHeaders` are where the first byte of a response leaves, and where the last one does. */
function hookResponses(traffic: Traffic): void {
  const prototype = http.ServerResponse.prototype
  const { write, end, flushHeaders } = prototype as unknown as Record<'write' | 'end' | 'flushHeaders', Method>
  // Apart, because a function that holds a closure costs a context on every call.
  const endWhenFinished = (response: ServerResponse, scope: RequestScope): void => {
    response.once('finish', () => traffic.end(scope))
  }
  // Some middleware puts a request of its own in place of Node's.
  const find = (response: ServerResponse): RequestScope | undefined =>
    scopeOfResponse(response) ?? traffic.inFlight.ofResponse(response)
  const begin = (response: ServerResponse): void => {
    const scope = find(response)
    if (scope !== undefined && !scope.begun) traffic.answering(scope)
  }

  // With as many parameters as they have: to gather them into an array would cost more than all else here.
  define(
    prototype,
    'write',
    function (this: ServerResponse, chunk?: unknown, encoding?: unknown, callback?: unknown): unknown {
      begin(this)
      return write.call(this, chunk, encoding, callback)
    },
  )
  define(prototype, 'flushHeaders', function (this: ServerResponse): unknown {
    begin(this)
    return flushHeaders.call(this)
  })
  define(
    prototype,
    'end',
    function (this: ServerResponse, chunk?: unknown, encoding?: unknown, callback?: unknown): unknown {
      const scope = find(this)
      if (scope !== undefined && !scope.begun) traffic.answering(scope)
      const result = end.call(this, chunk, encoding, callback)
      if (scope !== undefined && !scope.ended) {
        // Nearly always the kernel has taken the whole answer by now. Where it has not, a slow client is still owed bytes.
        if (this.writableEnded && this.writableLength === 0) traffic.end(scope)
        else endWhenFinished(this, scope)
      }
      return result
    },
  )
}

/** A row of the table must be cleared before the descriptor is closed: the next `open` gets the same number. */
function hookSockets(traffic: Traffic): void {
  const base = net.Socket.prototype._destroy
  define(
    net.Socket.prototype,
    '_destroy',
    function (
      this: net.Socket & { [connectionOf]?: Connection },
      error: Error | null,
      callback: (error?: Error | null) => void,
    ): void {
      const connection = this[connectionOf]
      if (connection !== undefined) traffic.disconnected(connection)
      base.call(this, error, callback)
    },
  )
}

function define(prototype: object, name: string, value: unknown): void {
  Object.defineProperty(prototype, name, { value, writable: true, configurable: true, enumerable: false })
}
