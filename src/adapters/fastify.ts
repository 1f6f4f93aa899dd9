import { currentRequest } from '../http/current-request.ts'
import { problemReply } from './problem-reply.ts'

export { deferRoutes } from './fastify/defer-routes.ts'

/** What is used of a Fastify instance. */
export interface FastifyLike {
  readonly errorHandler: (...args: never[]) => unknown
  addHook(
    name: 'onRequest',
    hook: (request: FastifyRequestLike, reply: unknown, done: (error?: Error) => void) => void,
  ): unknown
  setErrorHandler(handler: (error: unknown, request: unknown, reply: FastifyReplyLike) => unknown): unknown
}

export interface FastifyRequestLike {
  readonly routeOptions: { readonly url?: string | undefined; readonly config?: unknown }
}

/** What Punctual reads of `config` in the options of a route. */
interface RouteConfig {
  /** How many queries a request of this route may run. */
  readonly queries?: { readonly max: number }
}

export interface FastifyReplyLike {
  code(status: number): unknown
  headers(values: Readonly<Record<string, string>>): unknown
  send(payload: unknown): unknown
}

export type FastifyPluginLike = (instance: FastifyLike, options: unknown, done: (error?: Error) => void) => void

/**
 * The Fastify plugin: `app.register(punctual())`. It tells the pattern of each request's route, and answers errors of Punctual's as
 * `application/problem+json` with `Retry-After`. A route may have a budget of queries: `app.get(url, { config: { queries: { max: 5 } } }, handler)`. It holds for the instance it is registered on and everything below, and for 404s too.
 *
 * An app that has set an error handler of its own keeps it; there `sendProblem` does the second part.
 */
export function punctual(): FastifyPluginLike {
  const plugin: FastifyPluginLike = (instance, _options, done) => {
    instance.addHook('onRequest', (request, _reply, next) => {
      const current = currentRequest()
      if (current === undefined) return next()
      const { url, config } = request.routeOptions
      current.route = url ?? null
      const { queries } = (config ?? {}) as RouteConfig
      try {
        if (queries !== undefined) current.allow({ queries })
      } catch (error) {
        return next(error as Error)
      }
      next()
    })
    if (instance.errorHandler.name === DEFAULT_HANDLER) {
      instance.setErrorHandler((error, _request, reply) => {
        // What is thrown here goes to the handler that stood before, which is Fastify's own.
        if (!sendProblem(error, reply)) throw error
      })
    }
    done()
  }
  // Without these two a plugin holds only for what is registered inside of it.
  Object.defineProperties(plugin, {
    [Symbol.for('skip-override')]: { value: true },
    [Symbol.for('fastify.display-name')]: { value: 'punctual' },
  })
  return plugin
}

/** The name of Fastify's own error handler. */
const DEFAULT_HANDLER = 'defaultErrorHandler'

/**
 * For an error handler of the app's own: answers an error of Punctual's as `application/problem+json`.
 *
 * @returns false if the error is none of Punctual's; nothing has been sent then
 */
export function sendProblem(error: unknown, reply: FastifyReplyLike): boolean {
  const answer = problemReply(error)
  if (answer === null) return false
  reply.code(answer.status)
  reply.headers(answer.headers)
  // To text Fastify would add a charset, which the type has not.
  reply.send(Buffer.from(answer.body))
  return true
}
