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
 * What the handler throws or rejects with goes to `next`. Without one it is for whoever has called: what the handler returns is returned, or promised to
 * a request that had to wait. `node:http` itself catches neither, so an error that nobody handles ends the process, with that error as the reason.
 *
 * Frameworks have their own `deferRoutes`, in `punctual/fastify`, `punctual/express` and `punctual/hono`.
 *
 * @throws InvalidOptionError for a prefix or a duration that is invalid
 */
export function deferRoutes(
  prefix: string,
  load: () => PromiseLike<Loaded> | Loaded,
  options: DeferralOptions = {},
): (request: IncomingMessage, response: ServerResponse, next?: Next) => unknown {
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
    if (!isBelow(request.url ?? '/', prefix)) return next === undefined ? notFound(response) : next()
    const { routes } = module
    if (routes !== undefined) return call(routes, request, response, next)
    return askForRoutes(module).then(
      (handler) => call(handler, request, response, next),
      (error) => answerWithoutRoutes(response, error),
    )
  }
}

function call(handler: Handler, request: IncomingMessage, response: ServerResponse, next: Next | undefined): unknown {
  if (next === undefined) return handler(request, response, () => notFound(response))
  return callBefore(next, handler, request, response)
}

async function callBefore(
  next: Next,
  handler: Handler,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<unknown> {
  try {
    return await handler(request, response, next)
  } catch (error) {
    return next(error)
  }
}

function notFound(response: ServerResponse): void {
  response.writeHead(404).end()
}
