import type { Http2ServerResponse } from 'node:http2'
import { type ProblemAnswer, problemAnswer } from '../../errors/problem.ts'
import { ShedError } from '../../resilience/abort-reason.ts'
import { after } from '../../resilience/clock.ts'
import { LINGER_TIMEOUT } from '../raw-response.ts'
import type { RequestScope } from '../scope.ts'

const ANSWER: ProblemAnswer = problemAnswer('PUNCTUAL_SHED')

/**
 * Answers 503 to a request whose handler was not called. Through its response, as an app would: the
 * connection lives on, because to open another costs both sides more than the request itself, and
 * just then. For the same reason a body still on its way is read to its end, if that comes soon.
 */
export function shedRequest(scope: RequestScope): void {
  const { request, response, connection } = scope
  if (!scope.ended) scope.forcedOutcome = 'shed'
  scope.giveUp(new ShedError())
  if (scope.ended || response.destroyed) return
  response.writeHead(ANSWER.status, ANSWER.headers)
  response.end(ANSWER.body)
  if (request.complete) return
  request.resume()
  after(
    LINGER_TIMEOUT,
    () => {
      if (request.complete) return
      if (connection === null) (response as unknown as Http2ServerResponse).stream.close()
      else connection.socket.destroy()
    },
    { keepAlive: false },
  )
}
