import { EventEmitter } from 'node:events'

/** What is used of avvio, which boots Fastify and its plugins. */
export interface AvvioLike extends EventEmitter {
  override(instance: object, plugin: object, options: object): object
  use(plugin: object, options: object): unknown
  ready(): Promise<unknown>
  readonly _opts: { readonly timeout: number }
}

/**
 * Calls `job`, during which Fastify listens once for the end of its boot, and returns what it listens to: the avvio that boots it. Fastify keeps that to itself, and
 * without it routes cannot be added with all that belongs to them (hooks, schemas, plugins of plugins) after the boot.
 *
 * @returns undefined where it has not listened
 */
export function seeAvvio(job: () => void): AvvioLike | undefined {
  const prototype = EventEmitter.prototype
  const { once } = prototype
  let seen: AvvioLike | undefined
  prototype.once = function (this: EventEmitter, name: string | symbol, listener: (...args: unknown[]) => void) {
    if (name === 'preReady' && isAvvio(this)) seen = this
    return once.call(this, name, listener)
  } as typeof once
  try {
    job()
  } finally {
    prototype.once = once
  }
  return seen
}

function isAvvio(value: EventEmitter): value is AvvioLike {
  const { override, use, ready, _opts } = value as Partial<AvvioLike>
  return [override, use, ready].every((method) => typeof method === 'function') && typeof _opts?.timeout === 'number'
}

/** A property of Fastify's own, which has a symbol of this description on the instance or on one it inherits from. */
export function symbolOf(instance: object, description: string): symbol | undefined {
  for (let owner: object | null = instance; owner !== null; owner = Object.getPrototypeOf(owner)) {
    const found = Object.getOwnPropertySymbols(owner).find((symbol) => symbol.description === description)
    if (found !== undefined) return found
  }
  return undefined
}
