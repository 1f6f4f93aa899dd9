import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { UsageError } from '../errors/punctual-error.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import type { CacheKey, Loaded, LoadedMany, ReadThroughOptions } from './read-through-options.ts'

/** Where values come from, be it given for one key or for many. */
export class Sources<Key extends CacheKey, Value> {
  readonly #name: string
  readonly #options: ReadThroughOptions<Key, Value>

  constructor(name: string, options: ReadThroughOptions<Key, Value>) {
    if (typeof options.load !== 'function' && typeof options.loadMany !== 'function') {
      throw new InvalidOptionError(
        `readThrough("${name}")`,
        'load',
        options.load,
        'must be a function, or loadMany must',
      )
    }
    this.#name = name
    this.#options = options
  }

  get takesMany(): boolean {
    return this.#options.loadMany !== undefined
  }

  async one(key: Key, wait: WaitContext): Promise<Loaded<Value>> {
    const { load } = this.#options
    if (load !== undefined) return load(key, wait)
    const [value] = await this.many([key], wait)
    if (value instanceof Error) throw value
    return value
  }

  /** In the order of the keys. */
  async many(keys: readonly Key[], wait: Pick<WaitContext, 'signal'>): Promise<readonly (Loaded<Value> | Error)[]> {
    const { loadMany } = this.#options
    if (loadMany === undefined) throw new TypeError(`readThrough("${this.#name}") has no \`loadMany\``)
    const found: LoadedMany<Key, Value> = await loadMany(keys, wait)
    if (!Array.isArray(found)) return keys.map((key) => (found as ReadonlyMap<Key, Loaded<Value>>).get(key))
    if (found.length === keys.length) return found as readonly (Loaded<Value> | Error)[]
    throw new UsageError(
      `readThrough("${this.#name}"): \`loadMany\` was given ${keys.length} keys and returned ${found.length} values; return one for each, in order, or a Map`,
      { details: { cache: this.#name, rule: 'one-value-per-key', keys: keys.length, values: found.length } },
    )
  }
}
