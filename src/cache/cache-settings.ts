import { type Duration, type Milliseconds, readDuration } from '../resilience/duration.ts'
import type { RuntimeValue } from '../runtime/runtime-value.ts'
import { runtimeTimeout } from '../runtime/runtime-value.ts'
import type { Lifetimes } from './cache-entry.ts'

export interface CacheLimits {
  readonly ttl: Duration
  readonly grace: Duration
  readonly negativeTtl: Duration
  readonly limit: Duration
  readonly softTimeout: Duration
  readonly staleFor: Duration | undefined
}

/** The lengths of time of one cache: `punctual set cache.<name>.ttl 0s` and its like change them while it runs. */
export class CacheSettings {
  readonly #ttl: RuntimeValue<Milliseconds>
  readonly #grace: RuntimeValue<Milliseconds>
  readonly #negativeTtl: RuntimeValue<Milliseconds>
  readonly #limit: RuntimeValue<Milliseconds>
  readonly #softTimeout: RuntimeValue<Milliseconds>
  readonly #staleFor: Milliseconds | null

  /**
   * @param changed called after one has been changed from outside
   * @throws InvalidOptionError for a limit that is invalid, RangeError for a name that is
   */
  constructor(name: string, limits: CacheLimits, changed: () => void) {
    const of = `readThrough("${name}")`
    const hot = (what: 'ttl' | 'grace' | 'negativeTtl' | 'limit' | 'softTimeout'): RuntimeValue<Milliseconds> =>
      runtimeTimeout(`cache.${name}.${what}`, readDuration(of, what, limits[what]), { onChange: changed })
    this.#staleFor = limits.staleFor === undefined ? null : readDuration(of, 'staleFor', limits.staleFor)
    this.#ttl = hot('ttl')
    this.#grace = hot('grace')
    this.#negativeTtl = hot('negativeTtl')
    this.#limit = hot('limit')
    this.#softTimeout = hot('softTimeout')
  }

  /** A `ttl` of 0 switches the cache off. */
  get isOn(): boolean {
    return this.#ttl.value > 0
  }

  get lifetimes(): Lifetimes {
    const ttl = this.#ttl.value
    const grace = this.#grace.value
    return { ttl, grace, negativeTtl: this.#negativeTtl.value, staleFor: this.#staleFor ?? Math.min(ttl, grace) }
  }

  get timeout(): Milliseconds {
    return this.#limit.value
  }

  get softTimeout(): Milliseconds {
    return this.#softTimeout.value
  }

  close(): void {
    for (const value of [this.#ttl, this.#grace, this.#negativeTtl, this.#limit, this.#softTimeout]) value.close()
  }
}
