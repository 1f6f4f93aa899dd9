import { readThrough } from '../../src/cache/read-through.ts'

/** A cache over one loader, as each library has it. */
export interface Contender {
  readonly title: string
  /** @param limit of a load, in milliseconds; 0 for none */
  make(load: (key: string) => Promise<unknown>, limit: number): Promise<(key: string) => Promise<unknown>>
}

/** What is used of the others. They are installed for the benches alone, so the compiler must not look for them. */
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
    make: async (load, limit) => {
      const name: string = 'lru-cache'
      const { LRUCache } = (await import(name)) as LruCacheModule
      const cache = new LRUCache({ max: 10_000, ttl: TTL, fetchMethod: load })
      if (limit === 0) return (key) => cache.fetch(key)
      return (key) => cache.fetch(key, { signal: AbortSignal.timeout(limit) })
    },
  },
  punctual: {
    title: '`readThrough`',
    make: async (load, limit) => {
      const cache = readThrough('bench', { load, ttl: TTL, ...(limit === 0 ? {} : { timeout: limit }) })
      return (key) => cache.get(key)
    },
  },
  'punctual-copied': {
    title: '`readThrough`, a value with a date',
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
    make: async (load, limit) => {
      const [name, driver]: string[] = ['bentocache', 'bentocache/drivers/memory']
      const { BentoCache, bentostore } = (await import(String(name))) as BentoModule
      const { memoryDriver } = (await import(String(driver))) as { memoryDriver(options: unknown): unknown }
      const stores = { memory: bentostore().useL1Layer(memoryDriver({ maxItems: 10_000 })) }
      const cache = new BentoCache({ default: 'memory', stores })
      const hardTimeout = limit === 0 ? null : limit
      return (key) => cache.getOrSet({ key, ttl: '5m', grace: '1h', hardTimeout, factory: () => load(key) })
    },
  },
}
