import { InvalidOptionError } from '../errors/punctual-error.ts'
import { currentRequest } from '../http/current-request.ts'
import { expressPattern } from '../http/route-of.ts'
import { type DeferralOptions, readDeferralOptions } from '../routes/deferral-options.ts'
import { DeferredModule } from '../routes/deferred-module.ts'
import { deferModule } from '../routes/module-queue.ts'
import {
  defaultExportOf,
  isBelow,
  isFunction,
  type ResponseLike,
  respondWithoutRoutes,
  waitForRoutes,
} from '../routes/route-access.ts'
import { isThenable } from '../system/is-thenable.ts'
import { problemReply } from './problem-reply.ts'

/** The part of Express's request that is used here. */
export interface ExpressRequestLike {
  readonly baseUrl?: string
}

/** The part of Express's response that is used here. */
export interface ExpressResponseLike {
  readonly headersSent: boolean
  writeHead(status: number, headers: Record<string, string>): unknown
  end(body: string): unknown
}

type Next = (error?: unknown) => void

/**
 * The Express middleware: `app.use(punctual())`, before the routes. It sets the pattern of each
 * request's route as soon as Express has found it, so that handlers can read
 * `currentRequest().route`. Without it the pattern is known to the access log only.
 *
 * A router that is mounted with parameters (`app.use('/teams/:team', router)`) appears in the
 * pattern as the client wrote it, because Express does not keep its mount path.
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
        // Set by Express's router before it calls the route.
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
 * The error middleware: `app.use(problems())`, after the routes. It responds to Punctual's errors
 * with `application/problem+json` and `Retry-After`, and passes others on.
 */
export function problems(): (error: unknown, request: unknown, response: ExpressResponseLike, next: Next) => void {
  // Express recognizes error middleware by its four parameters.
  return (error, _request, response, next) => {
    const answer = response.headersSent ? null : problemReply(error)
    if (answer === null) next(error)
    else {
      response.writeHead(answer.status, { ...answer.headers })
      response.end(answer.body)
    }
  }
}

/** The part of Express's request that is used to mount routes. */
export interface MountedRequestLike {
  url: string
  baseUrl?: string
}

// A method type, whose parameters are bivariant, so that routers for a larger request type fit.
type RouterLike = {
  bivariant(request: MountedRequestLike, response: ResponseLike, next: Next): unknown
}['bivariant']
type Loaded = RouterLike | { readonly default: RouterLike | { readonly default: RouterLike } }

/**
 * Defers a router: `app.use(deferRoutes('/reports', () => import('./reports.ts')))` does what
 * `app.use('/reports', router)` does, where the module's default export is the router, but the
 * module is loaded after the worker is ready, or when a request needs it. Requests that the router
 * does not handle go on to the next middleware; its errors go to the app's error middleware.
 *
 * A request whose routes cannot be loaded gets a 503 (`application/problem+json`, with
 * `Retry-After`).
 *
 * @throws InvalidOptionError for an invalid prefix or duration; a prefix cannot have parameters
 */
export function deferRoutes(
  prefix: string,
  load: () => PromiseLike<Loaded> | Loaded,
  options: DeferralOptions = {},
): (request: MountedRequestLike, response: ResponseLike, next: Next) => void {
  const settings = readDeferralOptions(prefix, load, options)
  if (/[:*(){}?+[\]!]/.test(prefix)) {
    const must = 'must have no parameters; defer below them, and name them in the router'
    throw new InvalidOptionError('deferRoutes', 'prefix', prefix, must)
  }
  const module = new DeferredModule(settings, async () => {
    return defaultExportOf(await load(), prefix, isFunction<RouterLike>, 'export default router')
  })
  deferModule(module)
  // Express matches paths case-insensitively by default.
  const lowered = prefix.toLowerCase()

  return (request, response, next) => {
    if (!isBelow(request.url.toLowerCase(), lowered)) return next()
    const { routes } = module
    if (routes !== undefined) return enter(routes, prefix, request, response, next)
    waitForRoutes(module).then(
      (router) => enter(router, prefix, request, response, next),
      (error) => respondWithoutRoutes(response, error),
    )
  }
}

/**
 * Calls the router as Express does: with the URL below the prefix, which is restored for later
 * middleware.
 */
function enter(
  router: RouterLike,
  prefix: string,
  request: MountedRequestLike,
  response: ResponseLike,
  next: Next,
): void {
  const { url, baseUrl } = request
  if (prefix !== '/') {
    const rest = url.slice(prefix.length)
    request.url = rest.startsWith('/') ? rest : `/${rest}`
    request.baseUrl = `${baseUrl ?? ''}${url.slice(0, prefix.length)}`
  }
  const leave: Next = (error) => {
    request.url = url
    if (baseUrl !== undefined) request.baseUrl = baseUrl
    next(error)
  }
  try {
    const result = router(request, response, leave)
    if (isThenable(result)) result.then(undefined, leave)
  } catch (error) {
    leave(error)
  }
}
