import { readThrough } from '../../src/cache/read-through.ts'

/** A cache over one loader. */
export interface Contender {
  readonly title: string
  /** @param timeout of a load, in milliseconds; 0 for none */
  make(load: (key: string) => Promise<unknown>, timeout: number): Promise<(key: string) => Promise<unknown>>
}

/** The part that is used. Only the benches install the package, so it has no types here. */
interface LruCacheModule {
  readonly LRUCache: new (options: {
    max: number
    ttl: number
    fetchMethod: (key: string) => Promise<unknown>
  }) => { fetch(key: string, options?: { signal: AbortSignal }): Promise<unknown> }
}

interface BentoModule {
  readonly BentoCache: new (
    options: unknown,
  ) => {
    getOrSet(options: {
      key: string
      ttl: string
      grace: string
      hardTimeout: number | null
      factory: () => Promise<unknown>
    }): Promise<unknown>
  }
  bentostore(): { useL1Layer(driver: unknown): unknown }
}

const TTL = 300_000

export const CONTENDERS: Readonly<Record<string, Contender>> = {
  'lru-cache': {
    title: 'lru-cache, `fetch`',
    make: async (load, timeout) => {
      const name: string = 'lru-cache'
      const { LRUCache } = (await import(name)) as LruCacheModule
      const cache = new LRUCache({ max: 10_000, ttl: TTL, fetchMethod: load })
      if (timeout === 0) return (key) => cache.fetch(key)
      return (key) => cache.fetch(key, { signal: AbortSignal.timeout(timeout) })
    },
  },
  punctual: {
    title: '`readThrough`',
    make: async (load, timeout) => {
      const cache = readThrough('bench', { load, ttl: TTL, ...(timeout === 0 ? {} : { timeout }) })
      return (key) => cache.get(key)
    },
  },
  'punctual-copied': {
    title: '`readThrough`, value with a `Date`',
    make: async (load) => {
      const cache = readThrough('bench', {
        load: async (key: string) => ({ value: await load(key), at: new Date(0) }),
        ttl: TTL,
      })
      return (key) => cache.get(key)
    },
  },
  bentocache: {
    title: 'bentocache, `getOrSet`',
    make: async (load, timeout) => {
      const [name, driver]: string[] = ['bentocache', 'bentocache/drivers/memory']
      const { BentoCache, bentostore } = (await import(String(name))) as BentoModule
      const { memoryDriver } = (await import(String(driver))) as { memoryDriver(options: unknown): unknown }
      const stores = { memory: bentostore().useL1Layer(memoryDriver({ maxItems: 10_000 })) }
      const cache = new BentoCache({ default: 'memory', stores })
      const hardTimeout = timeout === 0 ? null : timeout
      return (key) => cache.getOrSet({ key, ttl: '5m', grace: '1h', hardTimeout, factory: () => load(key) })
    },
  },
}
