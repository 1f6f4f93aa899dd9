import { PunctualError } from '../../errors/punctual-error.ts'
import { WaitTimeoutError } from '../../resilience/abort-reason.ts'
import { formatElapsed, type Milliseconds, ms, UNBOUNDED } from '../../resilience/duration.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import { GATE, Gate } from './gates.ts'
import type { Avvio, Internals, Keys } from './internals.ts'

/** The part of a Fastify instance that is used here, besides its private properties. */
export interface LateInstance {
  readonly version: string
  readonly server: { readonly listening: boolean }
  readonly supportedMethods: readonly string[]
  readonly log: { error(context: object, message: string): void }
}

/** Methods that Fastify refuses after its boot. */
const GUARDED = [
  ...['route', 'all', 'addHook', 'addSchema', 'addHttpMethod', 'addConstraintStrategy', 'setNotFoundHandler'],
  ...['setErrorHandler', 'setSchemaErrorFormatter', 'setValidatorCompiler', 'setSerializerCompiler'],
  ...['setSchemaController', 'setReplySerializer', 'setChildLoggerFactory', 'setGenReqId'],
  ...['decorate', 'decorateRequest', 'decorateReply'],
  ...['addContentTypeParser', 'removeContentTypeParser', 'removeAllContentTypeParsers'],
]

/**
 * Names of a second avvio's methods on the instance; Fastify uses the default names for the first.
 */
const SECOND = {
  use: 'lateRegister',
  after: 'lateAfter',
  ready: 'lateReady',
  onClose: 'lateOnClose',
  close: 'lateClose',
}

/**
 * The most handlers that failed attempts may leave behind on one path. Fastify's router cannot
 * remove a handler and takes 31 on a path with constraints; the rest is for the placeholder, for
 * other modules on the same path and for the app's own routes.
 */
const MAX_LEFT_HANDLERS = 25

type Scope = Record<symbol, unknown>

/**
 * Registers a plugin with a Fastify instance that has booted, encapsulated as by
 * `instance.register(plugin, { prefix })`. Fastify's own code creates the scope (hooks, decorators,
 * schemas, parsers and error handler of the parent) and adds the routes; a second avvio boots the
 * plugin and its nested plugins. While a method of that scope runs, Fastify's `started` flag is
 * cleared, because Fastify refuses such calls after its boot.
 */
export class LatePlugin {
  readonly #instance: LateInstance
  readonly #avvio: Avvio
  readonly #keys: Keys
  readonly #prefix: string
  /** The scope in which an earlier attempt set the 404 handler, by prefix. */
  readonly #notFoundScopes = new Map<string, object>()
  /** Gates of the attempts that failed. */
  readonly #failedGates: Gate[] = []

  constructor(instance: LateInstance, { avvio, keys }: Internals, prefix: string) {
    this.#instance = instance
    this.#avvio = avvio
    this.#keys = keys
    this.#prefix = prefix
  }

  /**
   * Each attempt starts with a new scope.
   *
   * @returns the gate of all its routes, for the caller to open
   * @throws what the plugin, its hooks or its schemas throw; PunctualError when failed attempts
   * have left too many routes behind
   */
  async register(plugin: object): Promise<Gate> {
    this.#assertRoom()
    const keys = this.#keys
    const instance = this.#instance
    const options = this.#prefix === '/' ? {} : { prefix: this.#prefix }
    const scope = this.#avvio.override(instance, function deferredRoutes() {}, options) as LateInstance
    const gate = new Gate()
    try {
      await this.#boot(scope, plugin, gate)
      return gate
    } catch (error) {
      this.#failedGates.push(gate)
      // Retries may go on for days.
      const children = symbolsOf(instance)[keys.children] as object[]
      children.splice(children.indexOf(scope), 1)
      throw error
    }
  }

  #assertRoom(): void {
    // Counted on each attempt: a plugin that timed out may have added more routes since.
    const left = this.#failedGates.map(({ maxHandlers }) => maxHandlers)
    const handlers = left.reduce((sum, count) => sum + count, 0)
    if (handlers + Math.max(0, ...left) <= MAX_LEFT_HANDLERS) return
    throw new PunctualError(
      'PUNCTUAL_ROUTES_FAILED',
      `the plugin failed ${left.length} times after adding routes, which Fastify's router cannot remove, and there is no room for more; replace the worker with \`punctual reload\`, and have the plugin connect before it adds routes`,
      { details: { reason: 'router-full', attempts: left.length, handlers } },
    )
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
    this.#allowNotFoundAgain(scope)
    await bootWithSecondAvvio(scope, this.#avvio, plugin)
    const limit = timeout === 0 ? UNBOUNDED : ms(timeout)
    await runOnceHooks(scope, keys, 'onReady', limit, (error) => {
      throw error
    })
    if (!instance.server.listening) return
    // Like Fastify, which does not wait for these hooks and goes on when one fails.
    void runOnceHooks(scope, keys, 'onListen', limit, (error) => {
      instance.log.error({ err: error }, 'an onListen hook of deferred routes failed')
    })
  }

  /**
   * Lets the scope set 404 handlers that an earlier attempt set already. Fastify's 404 router takes
   * one per prefix, cannot remove it, and would throw where no caller can catch it. It does replace
   * the handler of the root, so it is made to believe that this is the root.
   */
  #allowNotFoundAgain(scope: object): void {
    const keys = this.#keys
    const scopes = this.#notFoundScopes
    const set = (scope as { setNotFoundHandler(...args: unknown[]): unknown }).setNotFoundHandler
    const before = new Map(scopes)
    define(scope, 'setNotFoundHandler', function (this: Scope, ...args: unknown[]): unknown {
      const prefix = this[keys.prefix] as string
      const level = this[keys.notFoundLevel] as Scope
      const earlier = before.get(prefix) as Scope | undefined
      before.delete(prefix)
      scopes.set(prefix, level)
      // The earlier attempt may have failed before Fastify added its handler.
      if (earlier === undefined || !Object.hasOwn(earlier, keys.notFound)) return set.apply(this, args)
      level[keys.notFound] = earlier[keys.notFound]
      level[keys.canSetNotFound] = true
      this[keys.prefix] = ''
      try {
        return set.apply(this, args)
      } finally {
        this[keys.prefix] = prefix
      }
    })
  }
}

/** Boots the plugin and its nested plugins with an avvio of their own. */
async function bootWithSecondAvvio(scope: LateInstance, avvio: Avvio, plugin: object): Promise<void> {
  const AvvioClass = avvio.constructor as new (server: object, options: object) => Avvio
  const second = new AvvioClass(scope, { autostart: false, timeout: avvio._opts.timeout, expose: SECOND })
  second.override = (parent, nested, options) => avvio.override(parent, nested, options)
  const methods = scope as unknown as Record<string, unknown>
  define(scope, 'register', methods[SECOND.use])
  define(scope, 'after', methods[SECOND.after])
  try {
    second.use(plugin, {})
    await second.ready()
    // Routes complete themselves on this event: hooks, serializers, validation.
    avvio.emit('preReady')
  } finally {
    avvio.removeAllListeners('preReady')
  }
}

/** Lets the scope, and those nested in it, be added to. */
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

/** A Fastify hook that runs once, with a callback or a promise. */
type OnceHook = (done?: (error?: Error) => void) => unknown
type OnceHookName = 'onReady' | 'onListen'

/**
 * Runs the hooks of a scope and of all nested in it, one after the other.
 *
 * @param limit of each hook, in milliseconds
 * @param onFailure receives the error of a hook that failed; throws to end the run
 */
async function runOnceHooks(
  scope: object,
  keys: Keys,
  name: OnceHookName,
  limit: Milliseconds,
  onFailure: (error: unknown) => void,
): Promise<void> {
  const { [keys.hooks]: hooks, [keys.children]: children } = symbolsOf(scope)
  for (const hook of (hooks as Record<OnceHookName, readonly OnceHook[]>)[name]) {
    await runOnceHook(hook, scope, name, limit).catch(onFailure)
  }
  for (const child of children as readonly object[]) await runOnceHooks(child, keys, name, limit, onFailure)
}

async function runOnceHook(hook: OnceHook, scope: object, name: OnceHookName, limit: Milliseconds): Promise<void> {
  const wait = `${name} hook of deferred routes`
  try {
    await withTimeout(wait, limit, () => callHook(hook, scope))
  } catch (error) {
    if (!(error instanceof WaitTimeoutError && error.wait === wait)) throw error
    const which = hook.name === '' ? '' : ` "${hook.name}"`
    throw new PunctualError(
      'PUNCTUAL_ROUTES_FAILED',
      `the ${name} hook${which} did not finish within ${formatElapsed(limit)} (Fastify's pluginTimeout); if it takes a callback, call it`,
      { cause: error, details: { reason: 'hook-timeout', hook: name, name: hook.name, timeoutMs: limit } },
    )
  }
}

/** Fastify passes a callback to hooks with exactly one parameter. */
function callHook(hook: OnceHook, scope: object): unknown {
  if (hook.length !== 1) return hook.call(scope)
  return new Promise<void>((resolve, reject) => {
    hook.call(scope, (error) => (error ? reject(error) : resolve()))
  })
}

function symbolsOf(instance: object): Readonly<Scope> {
  return instance as Scope
}

function define(scope: object, name: string, value: unknown): void {
  Object.defineProperty(scope, name, { value, writable: true, configurable: true })
}
