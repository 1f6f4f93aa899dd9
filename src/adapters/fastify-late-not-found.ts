import type { Keys } from './fastify-keys.ts'

/** By prefix: the scope in which an attempt has set the 404 handler. */
export type NotFoundScopes = Map<string, object>

type Scope = Record<symbol, unknown>

/**
 * Lets a scope set 404 handlers that an attempt before it has set already. Fastify's router of them takes one per prefix and forgets none, and would throw where
 * nobody can catch it. But at the root a handler may be replaced: Fastify then fills what the router has anew. So it is told that it is at the root.
 *
 * @param scopes of the attempts before; those of this one are noted in it
 */
export function replaceNotFoundHandlers(scope: object, keys: Keys, scopes: NotFoundScopes): void {
  const set = (scope as { setNotFoundHandler(...args: unknown[]): unknown }).setNotFoundHandler
  const before = new Map(scopes)
  const value = function (this: Scope, ...args: unknown[]): unknown {
    const prefix = this[keys.prefix] as string
    const level = this[keys.notFoundLevel] as Scope
    const earlier = before.get(prefix) as Scope | undefined
    before.delete(prefix)
    scopes.set(prefix, level)
    // An attempt may have failed before Fastify came to it.
    if (earlier === undefined || !Object.hasOwn(earlier, keys.notFound)) return set.apply(this, args)
    level[keys.notFound] = earlier[keys.notFound]
    level[keys.canSetNotFound] = true
    this[keys.prefix] = ''
    try {
      return set.apply(this, args)
    } finally {
      this[keys.prefix] = prefix
    }
  }
  Object.defineProperty(scope, 'setNotFoundHandler', { value, writable: true, configurable: true })
}
