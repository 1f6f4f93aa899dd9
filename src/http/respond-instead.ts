import type { ServerResponse } from 'node:http'
import { after } from '../resilience/clock.ts'
import { answerStream, StreamResponse, sealStream, streamOf } from './http2-stream.ts'
import { openWaits } from './open-waits.ts'
import { LINGER_TIMEOUT, type RawResponse } from './raw-response.ts'
import type { RequestScope } from './scope.ts'
import type { Traffic } from './traffic.ts'

/**
 * What its client got: the response, a closed connection, or nothing because it had been served
 * before.
 */
export type ClientOutcome = '503' | 'closed' | 'none'

/**
 * Ends a request whose deadline has passed: records its open waits, aborts them (queries are
 * cancelled, signals aborted), and sends `response`. If the app's response has started, the
 * connection is closed instead.
 */
export function timeOutRequest(traffic: Traffic, scope: RequestScope, response: RawResponse): void {
  if (scope.ended || scope.abandoned) return
  // Its response is complete; only the client has not ended its side of the stream.
  if (scope.connection === null && streamOf(scope)?.writableFinished === true) return traffic.end(scope)
  scope.waitsAtTimeout ??= openWaits(scope)
  scope.forcedOutcome = 'timed-out'
  scope.enter(() => scope.expire())
  respondInstead(traffic, scope, response)
}

/**
 * Responds to a request in place of its handler, which was interrupted, has timed out or is
 * abandoned. The bytes are written to the socket, because the response object may be in any state
 * (headers set, half written, sealed by a framework). Later calls of the handler on that object do
 * nothing, instead of failing with ERR_HTTP_HEADERS_SENT.
 */
export function respondInstead(traffic: Traffic, scope: RequestScope, substitute: RawResponse): ClientOutcome {
  // An abandoned request has got its response; it ends when its client has read it.
  if (scope.ended || scope.abandoned) return 'none'
  scope.abandoned = true
  const { response, connection, request } = scope
  if (connection === null) return respondOnStream(scope, substitute)

  const { socket } = connection
  // Requests pipelined behind it end with the connection; their client has not disconnected.
  for (const behind of connection.scopes) if (behind !== scope) behind.forcedOutcome ??= 'failed'
  if (scope.begun || connection.scopes[0] !== scope || socket.destroyed || !socket.writable) {
    disable(response)
    scope.substituteStatus = 0
    socket.destroy()
    return 'closed'
  }
  traffic.answering(scope)
  disable(response)
  scope.substituteStatus = substitute.status
  // If the socket were closed while the client is sending, the kernel would send a reset, which
  // overtakes the response.
  request.resume()
  socket.end(request.method === 'HEAD' ? substitute.head : substitute.whole, () => traffic.end(scope))
  after(LINGER_TIMEOUT, () => socket.destroy(), { keepAlive: false })
  return '503'
}

/** HTTP/2: only the stream is ended. */
function respondOnStream(scope: RequestScope, substitute: RawResponse): ClientOutcome {
  const { response } = scope
  const stream = streamOf(scope)
  if (stream === undefined) {
    // A response without a connection, which the app has made itself.
    disable(response)
    response.destroy()
    return 'closed'
  }
  scope.substituteStatus = answerStream(scope, substitute, LINGER_TIMEOUT)
  sealStream(stream)
  if (!(response instanceof StreamResponse)) disable(response)
  return scope.substituteStatus === 0 ? 'closed' : '503'
}

/** Makes all methods of the response do nothing, and its state say that it was sent. */
function disable(response: ServerResponse): void {
  const ignore = (): ServerResponse => response
  Object.defineProperties(response, {
    writeHead: { value: ignore },
    setHeader: { value: ignore },
    setHeaders: { value: ignore },
    appendHeader: { value: ignore },
    removeHeader: { value: () => {} },
    flushHeaders: { value: () => {} },
    write: { value: () => true },
    end: { value: ignore },
    headersSent: { value: true },
    writableEnded: { value: true },
  })
}
