import { currentRequest } from '../http/current-request.ts'
import { expressPattern } from '../http/route-of.ts'
import { problemReply } from './problem-reply.ts'

export { deferRoutes } from './express-deferral.ts'

/** What is used of Express's request. */
export interface ExpressRequestLike {
  readonly baseUrl?: string
}

/** What is used of Express's response. */
export interface ExpressResponseLike {
  readonly headersSent: boolean
  writeHead(status: number, headers: Record<string, string>): unknown
  end(body: string): unknown
}

type Next = (error?: unknown) => void

/**
 * The Express middleware: `app.use(punctual())`, before the routes. It tells the pattern of each request's route as soon as Express has found it:
 * `currentRequest().route` is known to the handler. Without it the pattern is known to the log alone.
 *
 * A router that is mounted with parameters (`app.use('/teams/:team', router)`) stands in the pattern as the client wrote it: Express does not keep
 * the pattern it was mounted with.
 */
export function punctual(): (request: ExpressRequestLike, response: unknown, next: Next) => void {
  return (request, _response, next) => {
    const current = currentRequest()
    if (current !== undefined) {
      let route: unknown
      Object.defineProperty(request, 'route', {
        configurable: true,
        enumerable: true,
        get: () => route,
        // Express's router writes here the route that it is about to call.
        set: (found: unknown) => {
          route = found
          current.route = expressPattern(found, request.baseUrl)
        },
      })
    }
    next()
  }
}

/**
 * The error middleware: `app.use(problems())`, behind the routes. It answers errors of Punctual's as `application/problem+json` with `Retry-After`, and
 * passes on all others.
 */
export function problems(): (error: unknown, request: unknown, response: ExpressResponseLike, next: Next) => void {
  // Express tells error middleware by its four parameters.
  return (error, _request, response, next) => {
    const answer = response.headersSent ? null : problemReply(error)
    if (answer === null) next(error)
    else {
      response.writeHead(answer.status, { ...answer.headers })
      response.end(answer.body)
    }
  }
}
