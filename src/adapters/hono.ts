import { currentRequest } from '../http/current-request.ts'
import { printableLines } from '../redaction/printable.ts'
import { errorText } from '../redaction/redaction.ts'
import { type DeferralOptions, readDeferralOptions } from '../routes/deferral-options.ts'
import { DeferredModule } from '../routes/deferred-module.ts'
import { deferModule } from '../routes/module-queue.ts'
import { defaultExportOf, isBelow, problemWithoutRoutes, waitForRoutes } from '../routes/route-access.ts'
import { problemReply } from './problem-reply.ts'

/** The part of Hono's context that is used here. */
export interface HonoContextLike {
  readonly req: { readonly matchedRoutes: readonly HonoRouteLike[] }
}

/**
 * The Hono middleware: `app.use(punctual())`, before the routes. It sets the pattern of each
 * request's route. Hono catches errors before middleware sees them: use `app.onError(problems())`
 * for those of Punctual.
 */
export function punctual(): (context: HonoContextLike, next: () => Promise<void>) => Promise<void> {
  return (context, next) => {
    const current = currentRequest()
    if (current !== undefined) current.route = patternOf(context.req.matchedRoutes)
    return next()
  }
}

/**
 * For `app.onError`: responds to Punctual's errors with `application/problem+json` and
 * `Retry-After`.
 *
 * @param otherwise handles all other errors. Default: as Hono does; an `HTTPException` has its own
 * response, others are logged and get a 500
 */
export function problems<Context = unknown>(
  otherwise: (error: Error, context: Context) => Response | Promise<Response> = defaultResponse,
): (error: Error, context: Context) => Response | Promise<Response> {
  return (error, context) => {
    const answer = problemReply(error)
    if (answer === null) return otherwise(error, context)
    return new Response(answer.body, { status: answer.status, headers: { ...answer.headers } })
  }
}

function defaultResponse(error: Error & { getResponse?: () => Response }): Response {
  if (typeof error.getResponse === 'function') return error.getResponse()
  console.error(printableLines(errorText(error)))
  return new Response('Internal Server Error', {
    status: 500,
    headers: { 'content-type': 'text/plain; charset=UTF-8' },
  })
}

/** The part of a Hono route that is used here. */
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
 * The pattern of the last matching route that is no middleware: that has `next` as its second
 * parameter, and is added for all methods.
 */
function patternOf(routes: readonly HonoRouteLike[]): string | null {
  const handler = routes.findLast((route) => innermost(route.handler).length < 2)
  return (handler ?? routes.findLast(({ method }) => method !== 'ALL'))?.path ?? null
}

/** Hono wraps the handlers of a mounted app that has its own error handler. */
function innermost(handler: HonoHandlerLike): HonoHandlerLike {
  const { __COMPOSED_HANDLER: inner } = handler
  return inner === undefined ? handler : innermost(inner)
}

/** The part of Hono's context that is used to mount an app. */
export interface MountedContextLike {
  readonly req: { readonly raw: Request; readonly path: string; readonly matchedRoutes: readonly HonoRouteLike[] }
  readonly env: unknown
  readonly executionCtx: unknown
  readonly var: Readonly<Record<string, unknown>>
  set(name: string, value: unknown): void
  res: Response | undefined
  /** Whether there is a response. */
  readonly finalized: boolean
}

type Next = () => Promise<void>

/** The part of a Hono app that is used here. */
interface HonoLike {
  use(middleware: (context: MountedContextLike, next: Next) => unknown): unknown
  route(path: string, app: unknown): unknown
  notFound(handler: (context: MountedContextLike) => Promise<Response>): unknown
  onError(handler: (error: Error) => never): unknown
  fetch(request: Request, env: unknown, executionContext: unknown): Response | Promise<Response>
}

type Loaded = object

/**
 * Defers a Hono app: `app.use(deferRoutes('/reports', () => import('./reports.ts')))` does what
 * `app.route('/reports', reports)` does, where the module's default export is the inner app, but
 * the module is loaded after the worker is ready, or when a request needs it. Middleware before it
 * applies, the inner app sees the variables of the context, requests that it does not handle go on
 * to the outer app, and its errors go to the outer `onError` unless it has its own.
 *
 * A request whose routes cannot be loaded gets a 503 (`application/problem+json`, with
 * `Retry-After`).
 *
 * @throws InvalidOptionError for an invalid prefix or duration
 */
export function deferRoutes(
  prefix: string,
  load: () => PromiseLike<Loaded> | Loaded,
  options: DeferralOptions = {},
): (context: MountedContextLike, next: Next) => Promise<Response | undefined> {
  const module = new DeferredModule(readDeferralOptions(prefix, load, options), async () => {
    return mount(prefix, defaultExportOf(await load(), prefix, isHono, 'export default app'))
  })
  deferModule(module)

  return async (context, next) => {
    if (!isBelow(context.req.path, prefix)) {
      await next()
      return undefined
    }
    let mounted: Mounted
    try {
      mounted = module.routes ?? (await waitForRoutes(module))
    } catch (error) {
      const { status, headers, body } = problemWithoutRoutes(error)
      return new Response(body, { status, headers })
    }
    const answer = await mounted({ context, next })
    const whole = context.finalized ? answer : withOuterHeaders(context, answer)
    // Cleared first, because Hono merges the headers of the previous response.
    context.res = undefined
    context.res = whole
    return undefined
  }
}

/** Adds the headers that outer middleware has set, as if both apps shared a context. */
function withOuterHeaders(context: MountedContextLike, answer: Response): Response {
  const around = [...(context.res?.headers ?? [])]
  const lacking = around.filter(([name]) => name === 'set-cookie' || !answer.headers.has(name))
  if (lacking.length === 0) return answer
  const whole = new Response(answer.body, answer)
  for (const [name, value] of lacking) whole.headers.append(name, value)
  return whole
}

/** A request in the outer app. */
interface Visit {
  readonly context: MountedContextLike
  readonly next: Next
}

type Mounted = (visit: Visit) => Promise<Response>

/**
 * Hono accepts no routes after the first request. So the loaded app is mounted in a new app of the
 * same class, which passes on what the loaded app does not handle.
 */
function mount(prefix: string, app: HonoLike): Mounted {
  const Hono = app.constructor as new () => HonoLike
  const outer = new Hono()
  const visits = new WeakMap<Request, Visit>()
  /** By the inner context, because inner middleware may replace the request. */
  const visitsWithin = new WeakMap<object, Visit>()
  outer.use((context, next) => {
    const visit = visits.get(context.req.raw) as Visit
    visitsWithin.set(context, visit)
    for (const [name, value] of Object.entries(visit.context.var)) context.set(name, value)
    const current = currentRequest()
    if (current !== undefined) current.route = patternOf(context.req.matchedRoutes)
    return next()
  })
  outer.route(prefix, app)
  // The inner app's middleware also surrounds the outer app's response, as with `app.route`.
  outer.notFound(async (context) => {
    const visit = visitsWithin.get(context) as Visit
    await visit.next()
    return visit.context.res as Response
  })
  outer.onError((error) => {
    throw error
  })
  return async (visit) => {
    const { context } = visit
    visits.set(context.req.raw, visit)
    return await outer.fetch(context.req.raw, context.env, executionContextOf(context))
  }
}

/** Hono's getter throws if the runtime has none. */
function executionContextOf(context: MountedContextLike): unknown {
  try {
    return context.executionCtx
  } catch {
    return undefined
  }
}

function isHono(value: unknown): value is HonoLike {
  if (typeof value !== 'object' || value === null) return false
  const app = value as Partial<HonoLike>
  return (['use', 'route', 'notFound', 'onError', 'fetch'] as const).every((name) => typeof app[name] === 'function')
}
