import type { IncomingMessage, ServerResponse } from 'node:http'
import { UsageError } from '../errors/punctual-error.ts'
import { answerWithoutRoutes, askForRoutes } from './ask-for-routes.ts'
import { type DeferralOptions, readDeferralOptions } from './deferral-options.ts'
import { DeferredModule } from './deferred-module.ts'
import { exportOf } from './export-of.ts'
import { isBelow } from './is-below.ts'
import { deferModule } from './process-modules.ts'

type Next = (error?: unknown) => void
/** A handler of `node:http`, or a middleware in the manner of Connect. */
export type Handler = (request: IncomingMessage, response: ServerResponse, next: Next) => unknown
type Loaded = Handler | { readonly default: Handler | { readonly default: Handler } }

/**
 * Defers a plain request handler: `const reports = deferRoutes('/reports', () => import('./reports.ts'))`, where the module's default export is
 * `(request, response) => …`. The module is loaded when the app serves, or as soon as a request needs it; a request for something else goes to
 * `next`, or is answered 404 without one. `request.url` stays whole.
 *
 * Frameworks have their own `deferRoutes`, in `punctual/fastify`, `punctual/express` and `punctual/hono`.
 *
 * @throws UsageError for a prefix that is none; RangeError for a limit that is no length of time
 */
export function deferRoutes(
  prefix: string,
  load: () => PromiseLike<Loaded> | Loaded,
  options: DeferralOptions = {},
): (request: IncomingMessage, response: ServerResponse, next?: Next) => void {
  const settings = readDeferralOptions(prefix, load, options)
  const module = new DeferredModule(settings, async () => {
    const handler = exportOf(await load())
    if (typeof handler === 'function') return handler as Handler
    throw new UsageError(
      `deferRoutes "${prefix}": the module must export its handler as default: export default (request, response) => …`,
    )
  })
  deferModule(module)

  return (request, response, next) => {
    const otherwise = next ?? (() => response.writeHead(404).end())
    if (!isBelow(request.url ?? '/', prefix)) return otherwise()
    const { routes } = module
    if (routes !== undefined) return void routes(request, response, otherwise)
    askForRoutes(module).then(
      (handler) => handler(request, response, otherwise),
      (error) => answerWithoutRoutes(response, error),
    )
  }
}
