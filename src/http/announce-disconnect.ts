import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestScope } from './scope.ts'

/** The private method and field of a response of HTTP/1.1 (Node 22.23, 24.21, 26.10). */
interface Internals {
  /** The event `close` was emitted. */
  _closed: boolean
}
/** Typed as if it were public. */
interface Destroyable {
  _destroy(error: Error | null, done: (error: Error | null) => void): void
}

/**
 * Emits what Node emits when a client disconnects before its response, in the scope of the request:
 * `close` of the response, and `aborted`, `error` and `close` of a request that was not read to its
 * end. On the next ticks; called before the response is sent that replaces that of the handler, so
 * that its `finish` comes later: many frameworks abort their signals at a `close` that no `finish`
 * precedes (React Router, Fastify, SvelteKit).
 */
export function announceDisconnect(scope: RequestScope): void {
  const { request, response } = scope
  const isAborted = !request.readableEnded && !request.destroyed
  scope.enter(() => {
    process.nextTick(emitAborted, request, response, isAborted)
    if (isAborted) abortRequest(request)
  })
}

function emitAborted(request: IncomingMessage, response: ServerResponse, isAborted: boolean): void {
  try {
    if (isAborted) request.emit('aborted')
  } finally {
    const internals = response as unknown as Internals
    if (!internals._closed) {
      internals._closed = true
      response.emit('close')
    }
  }
}

/** The rest of the body is read and discarded: unread bytes would reset the connection. */
function abortRequest(request: IncomingMessage): void {
  request.push = () => true
  request._read(0)
  // That of Node destroys the connection. As there, an error without a listener is not thrown.
  ;(request as unknown as Destroyable)._destroy = (error, done) =>
    done(request.listenerCount('error') > 0 ? error : null)
  request.aborted = true
  request.destroy(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }))
}
