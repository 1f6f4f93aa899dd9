import { type CurrentRequest, currentRequest } from '../http/current-request.ts'
import { problemReply } from './problem-reply.ts'

/** The part of Koa's context that is used here. */
export interface KoaContextLike {
  readonly headerSent: boolean
  status: number
  body: unknown
  set(headers: Record<string, string>): void
}

/**
 * The Koa middleware: `app.use(punctual())`, as the first. It responds to Punctual's errors with
 * `application/problem+json` and `Retry-After`, and sets the pattern of each request's route if
 * `@koa/router` is used.
 */
export function punctual(): (context: KoaContextLike, next: () => Promise<unknown>) => Promise<void> {
  return async (context, next) => {
    const current = currentRequest()
    if (current !== undefined) observeRoute(context, current)
    try {
      await next()
    } catch (error) {
      const answer = context.headerSent ? null : problemReply(error)
      if (answer === null) throw error
      context.status = answer.status
      context.body = answer.body
      context.set({ ...answer.headers })
    }
  }
}

/** `@koa/router` sets this property to the matched pattern before it calls the handler. */
function observeRoute(context: object, current: CurrentRequest): void {
  let matched: unknown
  Object.defineProperty(context, '_matchedRoute', {
    configurable: true,
    enumerable: true,
    get: () => matched,
    set: (route: unknown) => {
      matched = route
      if (route !== undefined && route !== null) current.route = String(route)
    },
  })
}
