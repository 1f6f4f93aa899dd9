import { PunctualError } from '../errors/punctual-error.ts'
import { ms, UNBOUNDED } from '../wait/duration.ts'
import type { AvvioLike } from './fastify-boot.ts'
import { GATE, Gate } from './fastify-gates.ts'
import { type Keys, keysOf } from './fastify-keys.ts'
import { runOnceHooks } from './fastify-late-hooks.ts'
import { type NotFoundScopes, replaceNotFoundHandlers } from './fastify-late-not-found.ts'

/** What is used of a Fastify instance, beside what is found by symbols. */
export interface LateInstance {
  readonly version: string
  readonly server: { readonly listening: boolean }
  readonly supportedMethods: readonly string[]
  readonly log: { error(context: object, message: string): void }
}

/** Methods that Fastify refuses once it has booted. */
const GUARDED = [
  ...['route', 'all', 'addHook', 'addSchema', 'addHttpMethod', 'addConstraintStrategy', 'setNotFoundHandler'],
  ...[
    'setErrorHandler',
    'setSchemaErrorFormatter',
    'setValidatorCompiler',
    'setSerializerCompiler',
    'setSchemaController',
  ],
  ...['setReplySerializer', 'setChildLoggerFactory', 'setGenReqId', 'decorate', 'decorateRequest', 'decorateReply'],
  ...['addContentTypeParser', 'removeContentTypeParser', 'removeAllContentTypeParsers'],
]
/** What a second avvio calls itself on the instance; under its own names Fastify has the first. */
const SECOND = {
  use: 'lateRegister',
  after: 'lateAfter',
  ready: 'lateReady',
  onClose: 'lateOnClose',
  close: 'lateClose',
}

/**
 * Handlers that failed attempts may leave on one path: Fastify's router forgets none, and takes 31 of a path with constraints. The rest is for the door, for other
 * modules on the same path, and for what the app itself has there.
 */
const MOST_LEFT = 25

/**
 * Registers a plugin with an instance that has booted, encapsulated as `instance.register(plugin, { prefix })` would have it: Fastify's own code makes the scope
 * (hooks, decorators, schemas, parsers and error handler of what is around), adds the routes, and a second avvio boots the plugin and those inside of it.
 * Fastify refuses such calls after its boot to keep an app from surprises; in this scope, and only while one of its methods runs, it is told that it
 * has not booted yet. Whether that still is how Fastify works is checked when the app boots (`canRegisterLate`).
 */
export class LatePlugin {
  readonly #instance: LateInstance
  readonly #avvio: AvvioLike
  readonly #keys: Keys
  readonly #prefix: string
  readonly #notFoundScopes: NotFoundScopes = new Map()
  /** Of the attempts that have failed. */
  readonly #gates: Gate[] = []

  /** @throws PunctualError if this Fastify is not built as is expected here */
  constructor(instance: LateInstance, avvio: AvvioLike | undefined, prefix: string) {
    canRegisterLate(instance, avvio)
    this.#instance = instance
    this.#avvio = avvio
    this.#keys = keysOf(instance) as Keys
    this.#prefix = prefix
  }

  /**
   * Each attempt begins with a new scope.
   *
   * @returns the gate of all routes, for the caller to open
   * @throws whatever the plugin, its hooks or its schemas throw; PunctualError when too many attempts have left routes behind
   */
  async register(plugin: object): Promise<Gate> {
    // Looked at anew each time: a plugin that was given up may have gone on.
    const left = this.#gates.map(({ mostHandlers }) => mostHandlers)
    if (left.reduce((sum, handlers) => sum + handlers, 0) + Math.max(0, ...left) > MOST_LEFT) {
      throw new PunctualError(
        'PUNCTUAL_ROUTES_FAILED',
        `its plugin has failed too often after it had added routes, and Fastify's router, which forgets none, has no room for more. The worker must be replaced: punctual reload. A plugin that first connects, and then adds its routes, leaves none behind`,
      )
    }
    const keys = this.#keys
    const instance = this.#instance
    const options = this.#prefix === '/' ? {} : { prefix: this.#prefix }
    const scope = this.#avvio.override(instance, function deferredRoutes() {}, options) as LateInstance
    const gate = new Gate()
    try {
      await this.#boot(scope, plugin, gate)
      return gate
    } catch (error) {
      this.#gates.push(gate)
      // Retries may go on for days.
      const children = symbolsOf(instance)[keys.children] as object[]
      children.splice(children.indexOf(scope), 1)
      throw error
    }
  }

  async #boot(scope: LateInstance, plugin: object, gate: Gate): Promise<void> {
    const keys = this.#keys
    const instance = this.#instance
    const { timeout } = this.#avvio._opts
    const { [keys.hooks]: hooks, [keys.state]: state } = symbolsOf(scope)
    ;(hooks as { readonly onRoute: unknown[] }).onRoute.push((route: { constraints?: object }) => {
      route.constraints = { ...route.constraints, [GATE]: gate.id }
    })
    reopen(scope, state as { started: boolean })
    replaceNotFoundHandlers(scope, keys, this.#notFoundScopes)
    await boot(scope, this.#avvio, plugin)
    const limit = timeout === 0 ? UNBOUNDED : ms(timeout)
    await runOnceHooks(scope, keys, 'onReady', limit, (error) => {
      throw error
    })
    if (!instance.server.listening) return
    // Fastify does not wait for these either, and goes on when one fails.
    void runOnceHooks(scope, keys, 'onListen', limit, (error) => {
      instance.log.error({ err: error }, 'an onListen hook of deferred routes failed')
    })
  }
}

function symbolsOf(instance: object): Readonly<Record<symbol, unknown>> {
  return instance as Record<symbol, unknown>
}

/** Boots the plugin, and those inside of it, with an avvio of their own. */
async function boot(scope: LateInstance, avvio: AvvioLike, plugin: object): Promise<void> {
  const Avvio = avvio.constructor as new (server: object, options: object) => AvvioLike
  const second = new Avvio(scope, { autostart: false, timeout: avvio._opts.timeout, expose: SECOND })
  second.override = (around, inner, options) => avvio.override(around, inner, options)
  const methods = scope as unknown as Record<string, unknown>
  define(scope, 'register', methods[SECOND.use])
  define(scope, 'after', methods[SECOND.after])
  try {
    second.use(plugin, {})
    await second.ready()
    // Routes complete themselves at the end of the boot: hooks, serializers, validation.
    avvio.emit('preReady')
  } finally {
    avvio.removeAllListeners('preReady')
  }
}

/** @throws PunctualError if this Fastify is not built as is expected here */
export function canRegisterLate(instance: LateInstance, avvio: AvvioLike | undefined): asserts avvio is AvvioLike {
  if (avvio !== undefined && keysOf(instance) !== undefined) return
  throw new PunctualError(
    'PUNCTUAL_ROUTES_UNSUPPORTED',
    `deferRoutes does not know Fastify ${instance.version}: it takes no routes after its boot in the way that is known. Register the module as a plugin, and update Punctual`,
  )
}

/** Lets this scope, and those inside of it, be added to. */
function reopen(scope: LateInstance, state: { started: boolean }): void {
  const methods = scope as unknown as Record<string, unknown>
  for (const name of [...GUARDED, ...scope.supportedMethods.map((method) => method.toLowerCase())]) {
    const guarded = methods[name]
    if (typeof guarded !== 'function') continue
    define(scope, name, function (this: unknown, ...args: unknown[]) {
      const before = state.started
      state.started = false
      try {
        return guarded.apply(this, args)
      } finally {
        state.started = before
      }
    })
  }
}

function define(scope: object, name: string, value: unknown): void {
  Object.defineProperty(scope, name, { value, writable: true, configurable: true })
}
