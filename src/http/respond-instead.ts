import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { after } from '../resilience/clock.ts'
import { LINGER_TIMEOUT, type RawResponse } from './raw-response.ts'
import type { RequestScope } from './scope.ts'
import type { Traffic } from './traffic.ts'

/** What became of a client that could not be given its handler's answer. */
export type ClientOutcome = '503' | 'closed' | 'none'

/**
 * Answers a request in place of its handler, which was cut, has run out of time or is to be abandoned. The bytes go straight to
 * the socket, because the response object may be in any state (headers set, half built, sealed by a framework). What the
 * handler still does with the response afterwards falls on nothing, instead of crashing the process with
 * ERR_HTTP_HEADERS_SENT.
 */
export function respondInstead(traffic: Traffic, scope: RequestScope, answer: RawResponse): ClientOutcome {
  // One that is abandoned has got all that it will get; it ends when its client has taken it.
  if (scope.ended || scope.abandoned) return 'none'
  scope.abandoned = true
  const { response, connection, request } = scope
  if (connection === null) return answerStream(scope, answer)

  const { socket } = connection
  // What is pipelined behind it goes with the connection: nobody has left.
  for (const behind of connection.scopes) if (behind !== scope) behind.forcedOutcome ??= 'failed'
  if (scope.begun || connection.scopes[0] !== scope || socket.destroyed || !socket.writable) {
    seal(response)
    scope.substituteStatus = 0
    socket.destroy()
    return 'closed'
  }
  traffic.answering(scope)
  seal(response)
  scope.substituteStatus = answer.status
  // Closing while the client still sends would make the kernel answer with a reset, and the reset overtakes our answer.
  request.resume()
  socket.end(request.method === 'HEAD' ? answer.head : answer.whole, () => traffic.end(scope))
  after(LINGER_TIMEOUT, () => socket.destroy(), { keepAlive: false })
  return '503'
}

/** HTTP/2: the stream has its own way to end, and the session lives on. */
function answerStream(scope: RequestScope, answer: RawResponse): ClientOutcome {
  const { request, response } = scope
  const { stream } = response as unknown as Http2ServerResponse
  const begun = response.headersSent
  scope.substituteStatus = begun ? 0 : answer.status
  if (begun) {
    stream.close()
  } else {
    response.writeHead(answer.status, answer.headers)
    response.end(answer.body)
    request.resume()
    // A client that goes on sending its body, or stops in the middle of it, would keep the stream open.
    after(LINGER_TIMEOUT, () => stream.close(), { keepAlive: false })
  }
  seal(response)
  return begun ? 'closed' : '503'
}

/** From here on the response swallows whatever is done to it, and says that it has been sent. */
function seal(response: ServerResponse): void {
  const swallow = (): ServerResponse => response
  Object.defineProperties(response, {
    writeHead: { value: swallow },
    setHeader: { value: swallow },
    setHeaders: { value: swallow },
    appendHeader: { value: swallow },
    removeHeader: { value: () => {} },
    flushHeaders: { value: () => {} },
    write: { value: () => true },
    end: { value: swallow },
    headersSent: { value: true },
    writableEnded: { value: true },
  })
}
