import { PunctualError } from '../errors/punctual-error.ts'
import { type AvvioLike, symbolOf } from './fastify-boot.ts'
import { GATE, type Gate } from './fastify-gates.ts'

/** A hook of Fastify's that runs once: with a callback, or with a promise. */
type OnceHook = (done?: (error?: Error) => void) => unknown

interface HooksLike {
  readonly onReady: readonly OnceHook[]
  readonly onListen: readonly OnceHook[]
  readonly onRoute: unknown[]
}

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
 * Registers a plugin with an instance that has booted, encapsulated as `instance.register(plugin, { prefix })` would have it: Fastify's own code makes the scope
 * (hooks, decorators, schemas, parsers and error handler of what is around), adds the routes, and a second avvio boots the plugin and those inside of it.
 * Fastify refuses such calls after its boot to keep an app from surprises; in this scope, and only while one of its methods runs, it is told that it
 * has not booted yet. Whether that still is how Fastify works is checked when the app boots (`canRegisterLate`).
 *
 * @param gate on all routes; the caller opens it when this has resolved
 * @throws whatever the plugin, its hooks or its schemas throw
 */
export async function registerLate(
  instance: LateInstance,
  avvio: AvvioLike,
  plugin: object,
  prefix: string,
  gate: Gate,
): Promise<void> {
  const keys = keysOf(instance)
  const scope = avvio.override(instance, function deferredRoutes() {}, prefix === '/' ? {} : { prefix }) as LateInstance
  const state = (instance as unknown as Record<symbol, unknown>)[keys.state] as { started: boolean }
  hooksOf(scope, keys).onRoute.push((route: { constraints?: object }) => {
    route.constraints = { ...route.constraints, [GATE]: gate.id }
  })
  reopen(scope, state)

  const Avvio = avvio.constructor as new (server: object, options: object) => AvvioLike
  const second = new Avvio(scope, { autostart: false, timeout: avvio._opts.timeout, expose: SECOND })
  second.override = (around, inner, options) => avvio.override(around, inner, options)
  const methods = scope as unknown as Record<string, unknown>
  for (const [name, exposed] of [
    ['register', SECOND.use],
    ['after', SECOND.after],
  ] as const) {
    define(scope, name, methods[exposed])
  }
  try {
    second.use(plugin, {})
    await second.ready()
    // Routes complete themselves at the end of the boot: hooks, serializers, validation.
    avvio.emit('preReady')
  } finally {
    avvio.removeAllListeners('preReady')
  }
  await runHooks(scope, keys, 'onReady')
  if (instance.server.listening) {
    await runHooks(scope, keys, 'onListen').catch((error: unknown) => {
      instance.log.error({ err: error }, 'an onListen hook of deferred routes failed')
    })
  }
}

/** @throws PunctualError if this Fastify is not built as is expected here */
export function canRegisterLate(instance: LateInstance, avvio: AvvioLike | undefined): asserts avvio is AvvioLike {
  const known = ['fastify.state', 'fastify.hooks', 'fastify.children'].every((name) => symbolOf(instance, name))
  if (avvio !== undefined && known) return
  throw new PunctualError(
    'PUNCTUAL_ROUTES_UNSUPPORTED',
    `deferRoutes does not know Fastify ${instance.version}: it takes no routes after its boot in the way that is known. Register the module as a plugin, and update Punctual`,
  )
}

interface Keys {
  readonly state: symbol
  readonly hooks: symbol
  readonly children: symbol
}

function keysOf(instance: object): Keys {
  return {
    state: symbolOf(instance, 'fastify.state') as symbol,
    hooks: symbolOf(instance, 'fastify.hooks') as symbol,
    children: symbolOf(instance, 'fastify.children') as symbol,
  }
}

function hooksOf(scope: object, keys: Keys): HooksLike {
  return (scope as Record<symbol, unknown>)[keys.hooks] as HooksLike
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

/** Of the scope and of all inside of it. */
async function runHooks(scope: object, keys: Keys, name: 'onReady' | 'onListen'): Promise<void> {
  for (const hook of hooksOf(scope, keys)[name]) await runHook(hook.bind(scope), hook.length)
  for (const child of (scope as Record<symbol, unknown>)[keys.children] as readonly object[]) {
    await runHooks(child, keys, name)
  }
}

async function runHook(hook: OnceHook, parameters: number): Promise<void> {
  if (parameters === 0) {
    await hook()
    return
  }
  await new Promise<void>((resolve, reject) => {
    hook((error) => (error ? reject(error) : resolve()))
  })
}
