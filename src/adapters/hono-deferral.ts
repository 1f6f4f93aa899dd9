import { UsageError } from '../errors/punctual-error.ts'
import { currentRequest } from '../request/current-request.ts'
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
}

type Next = () => Promise<void>

/** What is used of a Hono app. */
interface HonoLike {
  use(middleware: (context: MountedContextLike, next: Next) => unknown): unknown
  route(path: string, app: unknown): unknown
  notFound(handler: () => Response): unknown
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
 * @throws UsageError for a prefix that is none; RangeError for a limit that is no length of time
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
    const answer = await mounted(context)
    if (answer !== NOT_FOUND) return answer
    await next()
    return undefined
  }
}

type Mounted = (context: MountedContextLike) => Promise<Response>

/** What the inner app answers when it knows no such route; it never leaves this file. */
const NOT_FOUND = new Response(null, { status: 404 })

/** Hono takes no routes once it has answered a request. So the loaded app is mounted in another, made by its own class, that passes on what is not its business. */
function mount(prefix: string, app: HonoLike): Mounted {
  const Hono = app.constructor as new () => HonoLike
  const outer = new Hono()
  const outerContexts = new WeakMap<Request, MountedContextLike>()
  outer.use((context, next) => {
    const around = outerContexts.get(context.req.raw)
    for (const [name, value] of Object.entries(around?.var ?? {})) context.set(name, value)
    const current = currentRequest()
    if (current !== undefined) current.route = patternOf(context.req.matchedRoutes)
    return next()
  })
  outer.route(prefix, app)
  outer.notFound(() => NOT_FOUND)
  outer.onError((error) => {
    throw error
  })
  return async (context) => {
    outerContexts.set(context.req.raw, context)
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
