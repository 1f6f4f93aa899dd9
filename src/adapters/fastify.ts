import { currentRequest } from '../http/current-request.ts'
import { problemReply } from './problem-reply.ts'

export { deferRoutes } from './fastify/defer-routes.ts'

/** The part of a Fastify instance that is used here. */
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

/** The part of a route's `config` that is read. */
interface RouteConfig {
  /** The most queries that a request of this route may run. */
  readonly queries?: { readonly max: number }
}

export interface FastifyReplyLike {
  code(status: number): unknown
  headers(values: Readonly<Record<string, string>>): unknown
  send(payload: unknown): unknown
}

export type FastifyPluginLike = (instance: FastifyLike, options: unknown, done: (error?: Error) => void) => void

/**
 * The Fastify plugin: `app.register(punctual())`. It sets the pattern of each request's route, and
 * responds to Punctual's errors with `application/problem+json` and `Retry-After`. A route may
 * limit its queries: `app.get(url, { config: { queries: { max: 5 } } }, handler)`. It applies to
 * the instance on which it is registered, everything below, and 404s.
 *
 * If the app has set its own error handler, that is kept, and should call `sendProblem`.
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
        // Thrown errors go to Fastify's own handler.
        if (!sendProblem(error, reply)) throw error
      })
    }
    done()
  }
  // Without these two, a plugin applies only to what is registered inside it.
  Object.defineProperties(plugin, {
    [Symbol.for('skip-override')]: { value: true },
    [Symbol.for('fastify.display-name')]: { value: 'punctual' },
  })
  return plugin
}

/** The name of Fastify's own error handler. */
const DEFAULT_HANDLER = 'defaultErrorHandler'

/**
 * For the app's own error handler: responds to an error of Punctual with
 * `application/problem+json`.
 *
 * @returns false for other errors; nothing has been sent then
 */
export function sendProblem(error: unknown, reply: FastifyReplyLike): boolean {
  const answer = problemReply(error)
  if (answer === null) return false
  reply.code(answer.status)
  reply.headers(answer.headers)
  // Fastify would add a charset to text, which this type does not have.
  reply.send(Buffer.from(answer.body))
  return true
}
