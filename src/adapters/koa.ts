import { type CurrentRequest, currentRequest } from '../http/current-request.ts'
import { problemReply } from './problem-reply.ts'

/** What is used of Koa's context. */
export interface KoaContextLike {
  readonly headerSent: boolean
  status: number
  body: unknown
  set(headers: Record<string, string>): void
}

/**
 * The Koa middleware: `app.use(punctual())`, as the first. It answers errors of Punctual's as `application/problem+json` with `Retry-After`, and tells the
 * pattern of each request's route where `@koa/router` finds it.
 */
export function punctual(): (context: KoaContextLike, next: () => Promise<unknown>) => Promise<void> {
  return async (context, next) => {
    const current = currentRequest()
    if (current !== undefined) listenForRoute(context, current)
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

/** `@koa/router` writes the pattern of what it has matched into its context, before it calls the handler. */
function listenForRoute(context: object, current: CurrentRequest): void {
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
