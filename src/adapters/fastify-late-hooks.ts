import { PunctualError } from '../errors/punctual-error.ts'
import { WaitExpiredError } from '../wait/abort-reason.ts'
import { type Milliseconds, tellDuration } from '../wait/duration.ts'
import { within } from '../wait/within.ts'
import type { Keys } from './fastify-keys.ts'

/** A hook of Fastify's that runs once: with a callback, or with a promise. */
type OnceHook = (done?: (error?: Error) => void) => unknown
type OnceHookName = 'onReady' | 'onListen'

/**
 * Runs the hooks of a scope and of all inside of it, one after the other.
 *
 * @param limit of each, in milliseconds
 * @param failed told of a hook that failed; throws to end it there
 */
export async function runOnceHooks(
  scope: object,
  keys: Keys,
  name: OnceHookName,
  limit: Milliseconds,
  failed: (error: unknown) => void,
): Promise<void> {
  const { [keys.hooks]: hooks, [keys.children]: children } = scope as Record<symbol, unknown>
  for (const hook of (hooks as Record<OnceHookName, readonly OnceHook[]>)[name]) {
    await runOnceHook(hook, scope, name, limit).catch(failed)
  }
  for (const child of children as readonly object[]) await runOnceHooks(child, keys, name, limit, failed)
}

async function runOnceHook(hook: OnceHook, scope: object, name: OnceHookName, limit: Milliseconds): Promise<void> {
  const wait = `${name} hook of deferred routes`
  try {
    await within(wait, limit, () => called(hook, scope))
  } catch (error) {
    if (!(error instanceof WaitExpiredError && error.wait === wait)) throw error
    const which = hook.name === '' ? '' : ` "${hook.name}"`
    throw new PunctualError(
      'PUNCTUAL_ROUTES_FAILED',
      `the ${name} hook${which} has not ended within ${tellDuration(limit)}, which is Fastify's pluginTimeout; one that takes a callback must call it`,
      { cause: error },
    )
  }
}

/** Fastify tells hooks with a callback by their one parameter. */
function called(hook: OnceHook, scope: object): unknown {
  if (hook.length !== 1) return hook.call(scope)
  return new Promise<void>((resolve, reject) => {
    hook.call(scope, (error) => (error ? reject(error) : resolve()))
  })
}
