import type { IncomingMessage, ServerResponse } from 'node:http'
import { UsageError } from '../errors/punctual-error.ts'
import { currentRequest } from '../request/current-request.ts'
import { answerWithoutRoutes, askForRoutes } from '../routes/ask-for-routes.ts'
import { type DeferralOptions, readDeferralOptions } from '../routes/deferral-options.ts'
import { DeferredModule } from '../routes/deferred-module.ts'
import { exportOf } from '../routes/export-of.ts'
import { deferModule } from '../routes/process-modules.ts'
import { type AvvioLike, seeAvvio, symbolOf } from './fastify-boot.ts'
import { type ConstraintStrategy, GATE, Gate, gateStrategy } from './fastify-gates.ts'
import { canRegisterLate, type LateInstance, LatePlugin } from './fastify-late-plugin.ts'

/** What is used of a Fastify instance. */
export interface DeferringInstance extends LateInstance {
  hasConstraintStrategy(name: string): boolean
  addConstraintStrategy(strategy: never): void
  register(plugin: never, options: { prefix: string }): unknown
  addHook(name: 'onReady', hook: (done: (error?: Error) => void) => void): unknown
  routing(request: IncomingMessage, response: ServerResponse): void
}

export type DeferringPlugin = (instance: DeferringInstance, options: unknown, done: (error?: Error) => void) => void

/** What is used of the scope in which requests wait. */
interface Door extends DeferringInstance {
  after(job: (error: unknown, done: () => void) => void): unknown
  route(route: object): unknown
}

interface RawRequest extends IncomingMessage {
  /** As it was, where the app rewrites URLs. */
  readonly originalUrl?: string
}

type Loaded = object | ((...args: never[]) => unknown)

/**
 * Defers a plugin with its routes: `app.register(deferRoutes('/reports', () => import('./reports.ts')))` does what
 * `app.register(reports, { prefix: '/reports' })` would, where the module's default export is the plugin, but when the app serves, or as soon as a request needs
 * it. It is encapsulated as ever: hooks, decorators, schemas, parsers, error and 404 handlers of what is around apply to it, and its own stay inside.
 *
 * A request that cannot have its routes is answered 503 (`application/problem+json`, with `Retry-After`); no hook has run for it then.
 *
 * @throws UsageError for a prefix that is none; RangeError for a limit that is no length of time; PunctualError, when the app boots, on a Fastify that is
 * built in another way than is known
 */
export function deferRoutes(
  prefix: string,
  load: () => PromiseLike<Loaded> | Loaded,
  options: DeferralOptions = {},
): DeferringPlugin {
  const settings = readDeferralOptions(prefix, load, options)
  const plugin: DeferringPlugin = (instance, _options, done) => {
    let avvio: AvvioLike | undefined
    let late: LatePlugin | undefined
    const door = new Gate()
    const module = new DeferredModule(settings, async () => {
      const loaded = exportOf(await load())
      if (typeof loaded !== 'function') {
        throw new UsageError(
          `deferRoutes "${prefix}": the module must export a plugin as default: export default async function (app) { app.get(…) }`,
        )
      }
      await oneByOne(instance.server, async () => {
        late ??= new LatePlugin(instance, avvio, prefix)
        const gate = await late.register(loaded)
        gate.open()
        door.close()
      })
      return true as const
    })
    if (!instance.hasConstraintStrategy(GATE)) {
      const add = instance.addConstraintStrategy as (strategy: ConstraintStrategy) => void
      add.call(instance, gateStrategy())
    }
    instance.addHook('onReady', (ready) => {
      try {
        canRegisterLate(instance, avvio)
        ready()
      } catch (error) {
        ready(error as Error)
      }
    })
    door.open()
    const register = instance.register as (plugin: object, options: { prefix: string }) => unknown
    register.call(
      instance,
      (scope: Door, _: unknown, registered: () => void) => {
        const { after } = scope
        scope.after = (job) =>
          after.call(scope, (error, next) => {
            const seen = seeAvvio(() => job(error, next))
            avvio ??= seen
          })
        openDoor(scope, module, door, instance)
        registered()
      },
      { prefix: prefix === '/' ? '' : prefix },
    )
    deferModule(module)
    done()
  }
  Object.defineProperties(plugin, {
    [Symbol.for('skip-override')]: { value: true },
    [Symbol.for('fastify.display-name')]: { value: `deferRoutes ${prefix}` },
  })
  return plugin
}

/**
 * The routes that stand in for those which are not loaded: whoever comes waits here, and is then sent through the router again. Nothing of the app may
 * happen to such a request twice, so these routes have no hooks, and it is caught before its body is parsed.
 */
function openDoor(scope: Door, module: DeferredModule<true>, gate: Gate, instance: DeferringInstance): void {
  const hooks = symbolOf(scope, 'fastify.hooks')
  if (hooks !== undefined) {
    const none = Object.keys((scope as unknown as Record<symbol, object>)[hooks] as object).map((name) => [name, []])
    Object.defineProperty(scope, hooks, { value: { ...Object.fromEntries(none), add() {} } })
  }
  const { prefix } = module.settings
  for (const url of ['', '/*']) {
    if (url === '' && prefix === '/') continue
    scope.route({
      method: [...scope.supportedMethods],
      url,
      constraints: { [GATE]: gate.id },
      exposeHeadRoute: false,
      // It would be logged once more when it has been let in.
      logLevel: 'fatal',
      handler: () => {},
      onRequest: (request: { raw: RawRequest }, reply: { raw: ServerResponse; hijack(): void }) => {
        const { raw } = request
        reply.hijack()
        askForRoutes(module).then(
          () => {
            if (raw.originalUrl !== undefined) raw.url = raw.originalUrl
            instance.routing(raw, reply.raw)
          },
          (error) => {
            const current = currentRequest()
            if (current !== undefined) current.route = prefix === '/' ? '/*' : `${prefix}/*`
            answerWithoutRoutes(reply.raw, error)
          },
        )
      },
    })
  }
}

const mounting = new WeakMap<object, Promise<unknown>>()

/** One plugin of an app boots at a time, as Fastify has it; one that does not end is ended by its own `pluginTimeout`. */
function oneByOne(app: object, job: () => Promise<void>): Promise<void> {
  const before = mounting.get(app) ?? Promise.resolve()
  const mine = before.then(job, job)
  mounting.set(app, mine)
  return mine
}
