import { after } from '../resilience/clock.ts'
import { announceDisconnect } from './announce-disconnect.ts'
import { answerStream, StreamResponse, sealStream, streamOf } from './http2-stream.ts'
import { openWaits } from './open-waits.ts'
import { LINGER_TIMEOUT, type RawResponse } from './raw-response.ts'
import type { RequestScope } from './scope.ts'
import { forgetSubstitute, keptHeaders, sealResponse, sendSubstitute } from './substitute-response.ts'
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
  const { begun } = scope
  scope.enter(() => scope.expire())
  // A listener of its signal may have begun a response in time.
  if (begun || !scope.begun) respondInstead(traffic, scope, response)
}

/**
 * Responds to a request in place of its handler, which was interrupted, has timed out or is
 * abandoned. Its response object sends the response, so that everyone who observes that sees what
 * the client gets; and it keeps the headers that middleware has set (CORS, cookies, a request id).
 * After that it is sealed: for the handler, its client has disconnected.
 */
export function respondInstead(traffic: Traffic, scope: RequestScope, substitute: RawResponse): ClientOutcome {
  // An abandoned request has got its response; it ends when its client has read it.
  if (scope.ended || scope.abandoned) return 'none'
  scope.abandoned = true
  const { response, connection, request } = scope
  if (connection === null) return respondOnStream(scope, substitute)

  const { socket } = connection
  connection.isClosing = true
  // Requests pipelined behind it end with the connection; their client has not disconnected.
  for (const behind of connection.scopes) if (behind !== scope) behind.forcedOutcome ??= 'failed'
  if (scope.begun || connection.scopes[0] !== scope || socket.destroyed || !socket.writable) {
    sealResponse(response)
    scope.substituteStatus = 0
    socket.destroy()
    return 'closed'
  }
  scope.substituteStatus = substitute.status
  // If the socket were closed while the client is sending, the kernel would send a reset, which
  // overtakes the response.
  announceDisconnect(scope)
  forgetSubstitute(response)
  socket.destroySoon = () => void socket.end()
  after(LINGER_TIMEOUT, () => socket.destroy(), { keepAlive: false })
  try {
    sendSubstitute(response, substitute)
  } catch {
    // The interrupted code was at work on it.
    traffic.answering(scope)
    socket.end(request.method === 'HEAD' ? substitute.head : substitute.whole, () => traffic.end(scope))
  }
  sealResponse(response)
  return '503'
}

/** HTTP/2: only the stream is ended. */
function respondOnStream(scope: RequestScope, substitute: RawResponse): ClientOutcome {
  const { response } = scope
  const stream = streamOf(scope)
  if (stream === undefined) {
    // A response without a connection, which the app has made itself.
    sealResponse(response)
    response.destroy()
    return 'closed'
  }
  const isStandIn = response instanceof StreamResponse
  const kept = isStandIn ? {} : keptHeaders(response)
  scope.substituteStatus = answerStream(
    scope,
    { ...substitute, headers: { ...kept, ...substitute.headers } },
    LINGER_TIMEOUT,
  )
  sealStream(stream)
  // The reset of a client that does not read cannot be sent.
  if (scope.substituteStatus === 0) after(LINGER_TIMEOUT, () => stream.destroy(), { keepAlive: false })
  if (!isStandIn) {
    if (scope.substituteStatus > 0) response.statusCode = scope.substituteStatus
    sealResponse(response)
  }
  return scope.substituteStatus === 0 ? 'closed' : '503'
}
