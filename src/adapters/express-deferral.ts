import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { answerWithoutRoutes, askForRoutes, type ResponseLike } from '../routes/ask-for-routes.ts'
import { type DeferralOptions, readDeferralOptions } from '../routes/deferral-options.ts'
import { DeferredModule } from '../routes/deferred-module.ts'
import { exportOf } from '../routes/export-of.ts'
import { isBelow } from '../routes/is-below.ts'
import { deferModule } from '../routes/process-modules.ts'

/** What is used of Express's request where routes are mounted. */
export interface MountedRequestLike {
  url: string
  baseUrl?: string
}

type Next = (error?: unknown) => void
// Methods take their parameters bivariantly, so that a router whose request has more than we use fits.
type RouterLike = {
  bivariant(request: MountedRequestLike, response: ResponseLike, next: Next): unknown
}['bivariant']
type Loaded = RouterLike | { readonly default: RouterLike | { readonly default: RouterLike } }

/**
 * Mounts a router that is loaded when the app serves, or as soon as a request needs it: `app.use(deferRoutes('/reports', () => import('./reports.ts')))`
 * does what `app.use('/reports', router)` would, where the module's default export is the router. What the router does not answer goes on to what
 * is mounted behind; its errors go to the app's error middleware.
 *
 * A request that cannot have its routes is answered 503 (`application/problem+json`, with `Retry-After`).
 *
 * @throws InvalidOptionError for a prefix or a duration that is invalid; a prefix cannot have parameters
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
    const router = exportOf(await load())
    if (typeof router === 'function') return router as RouterLike
    throw new UsageError(`deferRoutes "${prefix}": the module must export a router as default: export default router`)
  })
  deferModule(module)
  // Express matches so unless it is told otherwise.
  const lowered = prefix.toLowerCase()

  return (request, response, next) => {
    if (!isBelow(request.url.toLowerCase(), lowered)) return next()
    const { routes } = module
    if (routes !== undefined) return enter(routes, prefix, request, response, next)
    askForRoutes(module).then(
      (router) => enter(router, prefix, request, response, next),
      (error) => answerWithoutRoutes(response, error),
    )
  }
}

/** Calls the router as Express would: it sees the URL without the prefix, and whoever comes after sees it whole again. */
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
    if (isPromiseLike(result)) result.then(undefined, leave)
  } catch (error) {
    leave(error)
  }
}

function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
