import { type WorkerChannel, workerChannel } from '../ipc/worker-channel.ts'
import { CACHE_TOPIC, type CacheModuleReport, type CacheReport, cacheMetrics } from './cache-report.ts'
import type { Invalidation } from './invalidation.ts'
import { Peers } from './peers.ts'
import type { StallGuard } from './stall-guard.ts'

/** A cache, as the registry uses it. */
export interface RegisteredCache {
  /** Its name among processes: the beginning of its keys in Redis. */
  readonly prefix: string
  report(): CacheReport
  /**
   * Carries out an invalidation of another process, or of another cache of the same prefix.
   *
   * @param queued Redis does not have it yet
   */
  onInvalidated(invalidation: Invalidation, queued: boolean): void
  /** What Redis does not have yet; null for nothing. */
  pending(): Invalidation | null
}

const registries = new WeakMap<object, CacheRegistry>()
const NO_CHANNEL = {}

/** All caches of this process that share a channel. */
export class CacheRegistry {
  readonly #caches = new Map<string, Set<RegisteredCache>>()
  readonly #channel: WorkerChannel | null
  #peers: Peers | null = null
  #stopReporting: () => void = () => {}

  private constructor(channel: WorkerChannel | null) {
    this.#channel = channel
  }

  static current(): CacheRegistry {
    const channel = workerChannel()
    const holder = channel ?? NO_CHANNEL
    let registry = registries.get(holder)
    if (registry === undefined) {
      registry = new CacheRegistry(channel)
      registries.set(holder, registry)
    }
    return registry
  }

  /** Null without other workers. */
  get stallGuard(): StallGuard | null {
    return this.#peers?.stallGuard ?? null
  }

  /** Adds a cache. Resolves when the other workers know it; null without other workers. */
  add(cache: RegisteredCache): Promise<void> | null {
    if (this.#caches.size === 0 && this.#channel !== null) {
      this.#peers = new Peers(this.#channel, {
        invalidated: (prefix, invalidation, queued) => this.#invalidateHere(prefix, invalidation, queued, null),
        pending: (prefix) => this.#pending(prefix),
      })
      this.#stopReporting = this.#channel.report(CACHE_TOPIC, () => this.#report(), cacheMetrics)
    }
    for (const invalidation of this.#pending(cache.prefix)) cache.onInvalidated(invalidation, true)
    let siblings = this.#caches.get(cache.prefix)
    if (siblings === undefined) {
      siblings = new Set()
      this.#caches.set(cache.prefix, siblings)
    }
    siblings.add(cache)
    return this.#peers?.join(cache.prefix) ?? null
  }

  remove(cache: RegisteredCache): void {
    const siblings = this.#caches.get(cache.prefix)
    siblings?.delete(cache)
    if (siblings?.size === 0) this.#caches.delete(cache.prefix)
    if (this.#caches.size > 0) return
    this.#stopReporting()
    this.#peers?.close()
    this.#peers = null
  }

  /**
   * Invalidates in caches of the same prefix, in this process and in the other workers. Resolves
   * when all workers that are not stalled have done so.
   */
  invalidate(cache: RegisteredCache, invalidation: Invalidation, queued: boolean): Promise<void> {
    this.#invalidateHere(cache.prefix, invalidation, queued, cache)
    return this.#peers === null ? Promise.resolve() : this.#peers.invalidate(cache.prefix, invalidation, queued)
  }

  #pending(prefix: string): readonly Invalidation[] {
    return [...(this.#caches.get(prefix) ?? [])].flatMap((cache) => cache.pending() ?? [])
  }

  #invalidateHere(prefix: string, invalidation: Invalidation, queued: boolean, except: RegisteredCache | null): void {
    for (const cache of this.#caches.get(prefix) ?? []) {
      if (cache !== except) cache.onInvalidated(invalidation, queued)
    }
  }

  #report(): CacheModuleReport {
    return {
      caches: [...this.#caches.values()].flatMap((siblings) => [...siblings].map((cache) => cache.report())),
      peers: this.#peers?.count ?? 0,
    }
  }
}
