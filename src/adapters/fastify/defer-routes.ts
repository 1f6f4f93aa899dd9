import type { IncomingMessage, ServerResponse } from 'node:http'
import { currentRequest } from '../../http/current-request.ts'
import { SerialQueue } from '../../resilience/serial-queue.ts'
import { type DeferralOptions, readDeferralOptions } from '../../routes/deferral-options.ts'
import { DeferredModule } from '../../routes/deferred-module.ts'
import { deferModule } from '../../routes/module-queue.ts'
import { defaultExportOf, isFunction, respondWithoutRoutes, waitForRoutes } from '../../routes/route-access.ts'
import { type ConstraintStrategy, GATE, Gate, gateStrategy } from './gates.ts'
import { type Avvio, assertCheckedVersion, captureAvvio, internalsOf, symbolOf } from './internals.ts'
import { type LateInstance, LatePlugin } from './late-plugin.ts'

/** The part of a Fastify instance that is used here. */
export interface DeferringInstance extends LateInstance {
  hasConstraintStrategy(name: string): boolean
  addConstraintStrategy(strategy: never): void
  register(plugin: never, options: { prefix: string }): unknown
  addHook(name: 'onReady', hook: (done: (error?: Error) => void) => void): unknown
  routing(request: IncomingMessage, response: ServerResponse): void
}

export type DeferringPlugin = (instance: DeferringInstance, options: unknown, done: (error?: Error) => void) => void

/** The part of the placeholder routes' scope that is used here. */
interface PlaceholderScope extends DeferringInstance {
  after(job: (error: unknown, done: () => void) => void): unknown
  route(route: object): unknown
}

interface RawRequest extends IncomingMessage {
  /** The URL before the app's `rewriteUrl`. */
  readonly originalUrl?: string
}

type Loaded = object | ((...args: never[]) => unknown)

/**
 * Defers a plugin with its routes: `app.register(deferRoutes('/reports', () =>
 * import('./reports.ts')))` does what `app.register(reports, { prefix: '/reports' })` does, where
 * the module's default export is the plugin, but once the app serves, or as soon as a request needs
 * it. Encapsulation is the same: hooks, decorators, schemas, parsers, error and 404 handlers of the
 * parent apply to it, and its own stay inside.
 *
 * A request whose routes cannot be loaded gets a 503 (`application/problem+json`, with
 * `Retry-After`); no hook runs for it.
 *
 * @throws InvalidOptionError for an invalid prefix or duration; PunctualError
 * (`PUNCTUAL_ROUTES_UNSUPPORTED`), when the app boots, on a Fastify version that this was not
 * checked on
 */
export function deferRoutes(
  prefix: string,
  load: () => PromiseLike<Loaded> | Loaded,
  options: DeferralOptions = {},
): DeferringPlugin {
  const settings = readDeferralOptions(prefix, load, options)
  const plugin: DeferringPlugin = (instance, _options, done) => {
    try {
      assertCheckedVersion(instance.version)
    } catch (error) {
      return done(error as Error)
    }
    let avvio: Avvio | undefined
    let late: LatePlugin | undefined
    const placeholder = new Gate()
    const module = new DeferredModule(settings, async () => {
      const example = 'export default async function (app) { app.get(…) }'
      const loaded = defaultExportOf(await load(), prefix, isFunction, example)
      await queueOf(instance.server).run(async () => {
        late ??= new LatePlugin(instance, internalsOf(instance, avvio), prefix)
        const gate = await late.register(loaded)
        gate.open()
        placeholder.close()
      })
      return true as const
    })
    if (!instance.hasConstraintStrategy(GATE)) {
      const add = instance.addConstraintStrategy as (strategy: ConstraintStrategy) => void
      add.call(instance, gateStrategy())
    }
    instance.addHook('onReady', (ready) => {
      try {
        internalsOf(instance, avvio)
        ready()
      } catch (error) {
        ready(error as Error)
      }
    })
    placeholder.open()
    const register = instance.register as (plugin: object, options: { prefix: string }) => unknown
    register.call(
      instance,
      (scope: PlaceholderScope, _: unknown, registered: () => void) => {
        const { after } = scope
        scope.after = (job) =>
          after.call(scope, (error, next) => {
            const captured = captureAvvio(() => job(error, next))
            avvio ??= captured
          })
        addPlaceholder(scope, module, placeholder, instance)
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
 * Adds the routes that stand in for those which are not loaded: a request waits there and then goes
 * through the router again. Hooks of the app must not run twice for it, so these routes have none,
 * and it is hijacked before its body is parsed.
 */
function addPlaceholder(
  scope: PlaceholderScope,
  module: DeferredModule<true>,
  gate: Gate,
  instance: DeferringInstance,
): void {
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
      // Otherwise the request is logged a second time when it goes through the router again.
      logLevel: 'fatal',
      handler: () => {},
      onRequest: (request: { raw: RawRequest }, reply: { raw: ServerResponse; hijack(): void }) => {
        const { raw } = request
        reply.hijack()
        waitForRoutes(module).then(
          () => {
            if (raw.originalUrl !== undefined) raw.url = raw.originalUrl
            instance.routing(raw, reply.raw)
          },
          (error) => {
            const current = currentRequest()
            if (current !== undefined) current.route = prefix === '/' ? '/*' : `${prefix}/*`
            respondWithoutRoutes(reply.raw, error)
          },
        )
      },
    })
  }
}

/** Boots one plugin of an app at a time, as Fastify does; `pluginTimeout` ends one that hangs. */
const mounting = new WeakMap<object, SerialQueue>()

function queueOf(app: object): SerialQueue {
  const queue = mounting.get(app) ?? new SerialQueue()
  mounting.set(app, queue)
  return queue
}
