import { UsageError } from '../errors/punctual-error.ts'
import { currentRequest } from '../http/current-request.ts'
import { askForRoutes, problemWithoutRoutes } from '../routes/ask-for-routes.ts'
import { type DeferralOptions, readDeferralOptions } from '../routes/deferral-options.ts'
import { DeferredModule } from '../routes/deferred-module.ts'
import { exportOf } from '../routes/export-of.ts'
import { isBelow } from '../routes/is-below.ts'
import { deferModule } from '../routes/process-modules.ts'
import { type HonoRouteLike, patternOf } from './hono-pattern.ts'

/** What is used of Hono's context where an app is mounted. */
export interface MountedContextLike {
  readonly req: { readonly raw: Request; readonly path: string; readonly matchedRoutes: readonly HonoRouteLike[] }
  readonly env: unknown
  readonly executionCtx: unknown
  readonly var: Readonly<Record<string, unknown>>
  set(name: string, value: unknown): void
  res: Response | undefined
  /** Whether there is an answer. */
  readonly finalized: boolean
}

type Next = () => Promise<void>

/** What is used of a Hono app. */
interface HonoLike {
  use(middleware: (context: MountedContextLike, next: Next) => unknown): unknown
  route(path: string, app: unknown): unknown
  notFound(handler: (context: MountedContextLike) => Promise<Response>): unknown
  onError(handler: (error: Error) => never): unknown
  fetch(request: Request, env: unknown, executionContext: unknown): Response | Promise<Response>
}

type Loaded = object

/**
 * Mounts a Hono app that is loaded when the app around it serves, or as soon as a request needs it:
 * `app.use(deferRoutes('/reports', () => import('./reports.ts')))` does what `app.route('/reports', reports)` would, where the module's default export is
 * the inner app. Middleware before it applies, variables of the context are handed in, what the inner app does not know goes on to the outer one, and its
 * errors go to the outer `onError` unless it has one of its own.
 *
 * A request that cannot have its routes is answered 503 (`application/problem+json`, with `Retry-After`).
 *
 * @throws InvalidOptionError for a prefix or a duration that is invalid
 */
export function deferRoutes(
  prefix: string,
  load: () => PromiseLike<Loaded> | Loaded,
  options: DeferralOptions = {},
): (context: MountedContextLike, next: Next) => Promise<Response | undefined> {
  const module = new DeferredModule(readDeferralOptions(prefix, load, options), async () => {
    const app = exportOf(await load())
    if (isHono(app)) return mount(prefix, app)
    throw new UsageError(`deferRoutes "${prefix}": the module must export a Hono app as default: export default app`)
  })
  deferModule(module)

  return async (context, next) => {
    if (!isBelow(context.req.path, prefix)) {
      await next()
      return undefined
    }
    let mounted: Mounted
    try {
      mounted = module.routes ?? (await askForRoutes(module))
    } catch (error) {
      const { status, headers, body } = problemWithoutRoutes(error)
      return new Response(body, { status, headers })
    }
    const answer = await mounted({ context, next })
    const whole = context.finalized ? answer : withHeadersAround(context, answer)
    // What is there must go first: set over it, its headers would stay.
    context.res = undefined
    context.res = whole
    return undefined
  }
}

/** An answer of the inner app's with what middleware has set before it, as if both had one context. */
function withHeadersAround(context: MountedContextLike, answer: Response): Response {
  const around = [...(context.res?.headers ?? [])]
  const lacking = around.filter(([name]) => name === 'set-cookie' || !answer.headers.has(name))
  if (lacking.length === 0) return answer
  const whole = new Response(answer.body, answer)
  for (const [name, value] of lacking) whole.headers.append(name, value)
  return whole
}

/** A request in the app around. */
interface Visit {
  readonly context: MountedContextLike
  readonly next: Next
}

type Mounted = (visit: Visit) => Promise<Response>

/** Hono takes no routes once it has answered a request. So the loaded app is mounted in another, made by its own class, that passes on what is not its business. */
function mount(prefix: string, app: HonoLike): Mounted {
  const Hono = app.constructor as new () => HonoLike
  const outer = new Hono()
  const visits = new WeakMap<Request, Visit>()
  /** By the context in the inner app: its middleware may put another request in the place of the one that came. */
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
  // Whoever answers, the inner app's middleware is around it, as it would be with `app.route`.
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

/** Hono's getter throws where the runtime has none. */
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
