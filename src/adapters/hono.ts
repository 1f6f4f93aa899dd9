import { currentRequest } from '../request/current-request.ts'
import { problemReply } from './problem-reply.ts'

/** What is used of Hono's context. */
export interface HonoContextLike {
  readonly req: { readonly matchedRoutes: readonly HonoRouteLike[] }
}

export interface HonoRouteLike {
  readonly path: string
  readonly method: string
  readonly handler: HonoHandlerLike
}

export interface HonoHandlerLike {
  readonly length: number
  readonly __COMPOSED_HANDLER?: HonoHandlerLike
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

/** Of all that matches, the last that is no middleware: that takes `next` as its second parameter, and `app.use` adds it for all methods. */
function patternOf(routes: readonly HonoRouteLike[]): string | null {
  const handler = routes.findLast((route) => innermost(route.handler).length < 2)
  return (handler ?? routes.findLast(({ method }) => method !== 'ALL'))?.path ?? null
}

/** Hono wraps the handlers of a mounted app that has an error handler of its own. */
function innermost(handler: HonoHandlerLike): HonoHandlerLike {
  const { __COMPOSED_HANDLER: inner } = handler
  return inner === undefined ? handler : innermost(inner)
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
