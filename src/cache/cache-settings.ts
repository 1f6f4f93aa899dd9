import { hotLimit } from '../hot/hot-limit.ts'
import type { HotValue } from '../hot/hot-value.ts'
import type { Milliseconds } from '../wait/duration.ts'
import { type Limit, readLimit } from '../wait/limit.ts'
import type { Lifetimes } from './cache-entry.ts'

export interface CacheLimits {
  readonly ttl: Limit
  readonly grace: Limit
  readonly negativeTtl: Limit
  readonly limit: Limit
  readonly softLimit: Limit
  readonly staleFor: Limit | undefined
}

/** The lengths of time of one cache: `punctual set cache.<name>.ttl 0s` and its like change them while it runs. */
export class CacheSettings {
  readonly #ttl: HotValue<Milliseconds>
  readonly #grace: HotValue<Milliseconds>
  readonly #negativeTtl: HotValue<Milliseconds>
  readonly #limit: HotValue<Milliseconds>
  readonly #softLimit: HotValue<Milliseconds>
  readonly #staleFor: Milliseconds | null

  /**
   * @param changed called after one has been changed from outside
   * @throws InvalidOptionError for a limit that is invalid, RangeError for a name that is
   */
  constructor(name: string, limits: CacheLimits, changed: () => void) {
    const of = `readThrough("${name}")`
    const hot = (what: 'ttl' | 'grace' | 'negativeTtl' | 'limit' | 'softLimit'): HotValue<Milliseconds> =>
      hotLimit(`cache.${name}.${what}`, readLimit(of, what, limits[what]), { onChange: changed })
    this.#staleFor = limits.staleFor === undefined ? null : readLimit(of, 'staleFor', limits.staleFor)
    this.#ttl = hot('ttl')
    this.#grace = hot('grace')
    this.#negativeTtl = hot('negativeTtl')
    this.#limit = hot('limit')
    this.#softLimit = hot('softLimit')
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

  get limit(): Milliseconds {
    return this.#limit.value
  }

  get softLimit(): Milliseconds {
    return this.#softLimit.value
  }

  close(): void {
    for (const value of [this.#ttl, this.#grace, this.#negativeTtl, this.#limit, this.#softLimit]) value.close()
  }
}
