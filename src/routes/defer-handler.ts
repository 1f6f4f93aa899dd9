import type { IncomingMessage, ServerResponse } from 'node:http'
import { type DeferralOptions, readDeferralOptions } from './deferral-options.ts'
import { DeferredModule } from './deferred-module.ts'
import { deferModule } from './module-queue.ts'
import { defaultExportOf, isBelow, isFunction, respondWithoutRoutes, waitForRoutes } from './route-access.ts'

type Next = (error?: unknown) => void
/** A handler of `node:http`, or Connect-style middleware. */
export type Handler = (request: IncomingMessage, response: ServerResponse, next: Next) => unknown
type Loaded = Handler | { readonly default: Handler | { readonly default: Handler } }

/**
 * Defers a request handler: `const reports = deferRoutes('/reports', () =>
 * import('./reports.ts'))`, where the module's default export is `(request, response) => …`. The
 * module is loaded after the worker is ready, or when a request needs it. A request outside of the
 * prefix goes to `next`, or gets a 404 without it. `request.url` is not changed.
 *
 * Errors of the handler go to `next`. Without it they go to the caller: the handler's result is
 * returned, or promised if the request had to wait. `node:http` catches neither, so an unhandled
 * error ends the process with that error as the reason.
 *
 * For frameworks use `deferRoutes` of `punctual/fastify`, `punctual/express` and `punctual/hono`.
 *
 * @throws InvalidOptionError for an invalid prefix or duration
 */
export function deferRoutes(
  prefix: string,
  load: () => PromiseLike<Loaded> | Loaded,
  options: DeferralOptions = {},
): (request: IncomingMessage, response: ServerResponse, next?: Next) => unknown {
  const module = new DeferredModule(readDeferralOptions(prefix, load, options), async () => {
    return defaultExportOf(await load(), prefix, isFunction<Handler>, 'export default (request, response) => …')
  })
  deferModule(module)

  return (request, response, next) => {
    if (!isBelow(request.url ?? '/', prefix)) return next === undefined ? notFound(response) : next()
    const { routes } = module
    if (routes !== undefined) return call(routes, request, response, next)
    return waitForRoutes(module).then(
      (handler) => call(handler, request, response, next),
      (error) => respondWithoutRoutes(response, error),
    )
  }
}

function call(handler: Handler, request: IncomingMessage, response: ServerResponse, next: Next | undefined): unknown {
  if (next === undefined) return handler(request, response, () => notFound(response))
  return callWithNext(next, handler, request, response)
}

async function callWithNext(
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
