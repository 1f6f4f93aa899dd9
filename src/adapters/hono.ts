import { currentRequest } from '../http/current-request.ts'
import { type HonoRouteLike, patternOf } from './hono-pattern.ts'
import { problemReply } from './problem-reply.ts'

export { deferRoutes } from './hono-deferral.ts'

/** What is used of Hono's context. */
export interface HonoContextLike {
  readonly req: { readonly matchedRoutes: readonly HonoRouteLike[] }
}

/**
 * The Hono middleware: `app.use(punctual())`, before the routes. It tells the pattern of each request's route. Hono catches errors before a middleware
 * sees them: `app.onError(problems())` answers those of Punctual's.
 */
export function punctual(): (context: HonoContextLike, next: () => Promise<void>) => Promise<void> {
  return (context, next) => {
    const current = currentRequest()
    if (current !== undefined) current.route = patternOf(context.req.matchedRoutes)
    return next()
  }
}

/**
 * For `app.onError`: answers errors of Punctual's as `application/problem+json` with `Retry-After`.
 *
 * @param otherwise what answers all other errors. Default: a response that the error brings (`HTTPException`), else it is logged and answered with 500,
 * as Hono itself does it
 */
export function problems<Context = unknown>(
  otherwise: (error: Error, context: Context) => Response | Promise<Response> = ownAnswer,
): (error: Error, context: Context) => Response | Promise<Response> {
  return (error, context) => {
    const answer = problemReply(error)
    if (answer === null) return otherwise(error, context)
    return new Response(answer.body, { status: answer.status, headers: { ...answer.headers } })
  }
}

function ownAnswer(error: Error & { getResponse?: () => Response }): Response {
  if (typeof error.getResponse === 'function') return error.getResponse()
  console.error(error)
  return new Response('Internal Server Error', {
    status: 500,
    headers: { 'content-type': 'text/plain; charset=UTF-8' },
  })
}
