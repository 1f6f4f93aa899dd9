import { checkOptions } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { readCount, readDuration, UNBOUNDED } from '../resilience/duration.ts'
import { type TimerWheel, waitWheel } from '../resilience/timer-wheel.ts'
import { parentOf } from '../resilience/wait-scope.ts'
import { startWait } from '../resilience/with-timeout.ts'
import { CacheRegistry, type RegisteredCache } from './cache-registry.ts'
import type { CacheReport } from './cache-report.ts'
import { INVALIDATE_ALL, type Invalidation, invalidationOfKey, invalidationOfTag } from './invalidation.ts'
import { Loader, newCounts, type RunningCounts } from './loader.ts'
import { Lookup } from './lookup.ts'
import { LoadFailures, MemoryTier } from './memory-tier.ts'
import {
  type CacheKey,
  CacheSettings,
  GET_OPTIONS,
  type GetOptions,
  type Loaded,
  READ_THROUGH_OPTIONS,
  type ReadThroughOptions,
  Source,
} from './read-through-options.ts'
import { openRedisTier } from './redis/open-redis-tier.ts'
import type { RedisTier } from './redis/redis-tier.ts'
import { STALL_THRESHOLD, type StallGuard } from './stall-guard.ts'

/** Stands in for a stall guard where there are no other workers. */
const NO_PEERS = { caughtUpTo: Number.POSITIVE_INFINITY, catchUp: () => null }

/** A cache in front of a source. Created by `readThrough`. */
export class ReadThrough<Key extends CacheKey, Value> implements RegisteredCache {
  readonly name: string
  readonly prefix: string
  readonly #memory: MemoryTier
  readonly #redis: RedisTier | null
  readonly #loader: Loader<Key, Value>
  readonly #lookup: Lookup<Key, Value>
  readonly #settings: CacheSettings
  readonly #failures: LoadFailures
  readonly #counts: RunningCounts = newCounts()
  readonly #registry: CacheRegistry
  #stallGuard: Pick<StallGuard, 'caughtUpTo' | 'catchUp'>
  readonly #wheel: TimerWheel
  readonly #closeRedis: () => void
  readonly #waitName: string
  readonly #hasTags: boolean
  #isEnabled: boolean
  #isClosed = false

  constructor(name: string, options: ReadThroughOptions<Key, Value>) {
    const of = `readThrough("${name}")`
    checkOptions(of, options, READ_THROUGH_OPTIONS)
    if (options.memory !== undefined) checkOptions(of, options.memory, { items: true, bytes: true }, 'memory.')
    this.name = name
    this.prefix = options.prefix ?? name
    this.#waitName = `cache ${name}`
    this.#wheel = options.wheel ?? waitWheel
    const random = options.random ?? Math.random
    const source = new Source(name, options)
    this.#hasTags = options.tags !== undefined
    const { items = 10_000, bytes = 32 * 1024 * 1024 } = options.memory ?? {}
    this.#memory = new MemoryTier({
      items: readCount(of, 'memory.items', items, 1),
      bytes: readCount(of, 'memory.bytes', bytes, 1),
      hasTags: this.#hasTags,
    })
    this.#failures = new LoadFailures(readDuration(of, 'backOff', options.backOff ?? '100ms'), random)
    const peerTimeout = readDuration(of, 'peerTimeout', options.peerTimeout ?? '1s')
    const { ttl = '5m', grace = '1h', negativeTtl = '10s', timeout = '5s', redisTimeout = '50ms', staleFor } = options
    this.#settings = new CacheSettings(name, { ttl, grace, negativeTtl, timeout, redisTimeout, staleFor }, () =>
      this.#onSettingsChanged(),
    )
    this.#isEnabled = this.#settings.isEnabled
    const { tier, close } = openRedisTier(name, this.prefix, options, {
      redisTimeout: () => this.#settings.redisTimeout,
      undecodable: () => void this.#counts.undecodable++,
      invalidated: (invalidation) => this.onInvalidated(invalidation, false),
      missed: () => void this.#loader.epoch++,
    })
    this.#redis = tier
    this.#closeRedis = close
    this.#loader = new Loader<Key, Value>({
      name: this.#waitName,
      source,
      tagsOf: options.tags ?? null,
      settings: this.#settings,
      memory: this.#memory,
      redis: tier,
      failures: this.#failures,
      counts: this.#counts,
      peerTimeout,
      random,
      wheel: this.#wheel,
      ownWheel: options.wheel,
    })
    this.#lookup = new Lookup<Key, Value>({
      waitName: this.#waitName,
      memory: this.#memory,
      loader: this.#loader,
      failures: this.#failures,
      source,
      settings: this.#settings,
      counts: this.#counts,
      wheel: this.#wheel,
      random,
    })
    this.#registry = CacheRegistry.current()
    const joined = this.#registry.add(this)
    this.#stallGuard = joined === null ? NO_PEERS : { caughtUpTo: Number.NEGATIVE_INFINITY, catchUp: () => joined }
    void joined?.then(() => {
      this.#stallGuard = this.#registry.stallGuard ?? NO_PEERS
    })
  }

  /**
   * Returns the value under a key: from memory, from Redis, or from the source; undefined if the
   * source has none.
   *
   * Rejects, unless there is an older value within `grace`, with what `load` throws, with a
   * `WaitTimeoutError` when the load or the caller times out, or with the reason when the caller is
   * given up.
   */
  get(key: Key, options?: GetOptions): Promise<Value | undefined> {
    // Most calls end here: no closure, no context, one promise.
    const id = typeof key === 'string' ? key : String(key)
    const entry = this.#memory.get(id)
    if (entry !== undefined) {
      const now = this.#wheel.now()
      if (
        now < entry.quietUntil &&
        entry.epoch === this.#loader.epoch &&
        now - this.#stallGuard.caughtUpTo < STALL_THRESHOLD
      ) {
        this.#counts.hitsMemory++
        return Promise.resolve(entry.give() as Value | undefined)
      }
    }
    return this.#getSlowly(key, id, options)
  }

  /** Returns the values under many keys, in their order. Rejects as `get` does. */
  async getMany(keys: readonly Key[], options?: GetOptions): Promise<(Value | undefined)[]> {
    if (options !== undefined) checkOptions(`readThrough("${this.name}")`, options, GET_OPTIONS)
    if (!this.#isEnabled) return this.#lookup.loadManyUnshared(keys, options)
    const catchUp = this.#stallGuard.catchUp()
    if (catchUp !== null) return this.getMany(keys, await this.#afterCatchUp(catchUp, options))
    const now = this.#wheel.now()
    const ids = keys.map(String)
    const entries = ids.map((id, index) => this.#lookup.fromMemory(keys[index] as Key, id, now, options))
    const missing = new Map<string, Key>()
    for (const [index, id] of ids.entries()) if (entries[index] === null) missing.set(id, keys[index] as Key)
    if (missing.size > 0) {
      const found = await this.#lookup.wait(this.#lookup.flights(missing), options)
      for (const [index, id] of ids.entries()) entries[index] ??= found.get(id) ?? null
    }
    return entries.map((entry) => entry?.give() as Value | undefined)
  }

  /**
   * Replaces the value under a key, for all workers and machines, as `invalidate` does. The source
   * must have the new value already; `null` and `undefined` say that it has none.
   *
   * For keys with one writer at a time: of two concurrent `set`, either may win. Use `invalidate`
   * there.
   *
   * Rejects with a `CacheValueError` for a value that cannot be shared.
   */
  async set(key: Key, value: Loaded<Value>): Promise<void> {
    const id = String(key)
    const invalidation = invalidationOfKey(id)
    if (!this.#isEnabled) return this.#invalidate(invalidation)
    const now = this.#wheel.now()
    const { epoch } = this.#loader
    const entry = this.#loader.newEntry(key, value, { isFromRedis: false, loadedAt: now, loadTook: 0, epoch })
    this.#counts.invalidations++
    this.#invalidateHere(invalidation)
    const pending = this.#loader.beginSet(id)
    const { reached, lease } = (await this.#redis?.take(id, this.#settings.timeout)) ?? { reached: true, lease: null }
    pending.end()
    this.#invalidateHere(invalidation)
    if (this.#isEnabled && !pending.isDetached) this.#memory.set(id, entry)
    if (lease !== null) await this.#loader.store(id, lease, entry)
    await this.#invalidatePeers(invalidation, !reached)
  }

  /**
   * Invalidates a key, or all values with a tag. Resolves when this worker, the other workers of
   * this machine and Redis have done so. If Redis does not reply within `redisTimeout`, it is
   * invalidated later, and not read in the meantime.
   *
   * Rejects only for a tag if the cache has no `tags`.
   */
  invalidate(target: Key | { readonly tag: string }): Promise<void> {
    if (typeof target !== 'object') return this.#invalidate(invalidationOfKey(String(target)))
    if (!this.#hasTags) {
      return Promise.reject(
        new InvalidOptionError(`readThrough("${this.name}")`, 'tags', undefined, 'must be given to invalidate by tag'),
      )
    }
    return this.#invalidate(invalidationOfTag(target.tag))
  }

  /** Invalidates everything, as `invalidate` does. */
  invalidateAll(): Promise<void> {
    return this.#invalidate(INVALIDATE_ALL)
  }

  /** What `/status` shows of this cache. */
  report(): CacheReport {
    const counts = { ...this.#counts }
    const hits = counts.hitsMemory + counts.hitsRedis + counts.stale + counts.degraded
    const all = hits + counts.misses + counts.backedOff
    return {
      name: this.name,
      items: this.#memory.items,
      bytes: this.#memory.bytes,
      hitRate: all === 0 ? null : hits / all,
      enabled: this.#isEnabled,
      counts,
      redis: this.#redis?.report() ?? null,
    }
  }

  /** Stops its timers and closes its subscription. The client that the app passed in stays open. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#registry.remove(this)
    this.#closeRedis()
    this.#settings.close()
    this.#memory.clear()
  }

  /** @internal For the registry. */
  onInvalidated(invalidation: Invalidation, queued: boolean): void {
    if (queued) this.#redis?.queue(invalidation)
    this.#invalidateHere(invalidation)
  }

  /** @internal For the registry. */
  pending(): Invalidation | null {
    return this.#redis?.pending ?? null
  }

  async #invalidate(invalidation: Invalidation): Promise<void> {
    this.#counts.invalidations++
    this.#invalidateHere(invalidation)
    const reached = (await this.#redis?.invalidate(invalidation)) ?? true
    // Removes an old value that was read from Redis in the meantime.
    if (this.#redis !== null) this.#invalidateHere(invalidation)
    await this.#invalidatePeers(invalidation, !reached)
  }

  /** Catches up first: only workers that are known by then acknowledge. */
  async #invalidatePeers(invalidation: Invalidation, queued: boolean): Promise<void> {
    const catchUp = this.#stallGuard.catchUp()
    if (catchUp !== null) await catchUp
    await this.#registry.invalidate(this, invalidation, queued)
  }

  #invalidateHere(invalidation: Invalidation): void {
    this.#loader.detach(invalidation)
    if (invalidation.all) {
      this.#memory.clear()
      this.#failures.clear()
    }
    for (const tag of invalidation.tags) this.#memory.deleteTag(tag)
    for (const id of invalidation.keys) {
      this.#memory.delete(id)
      this.#failures.remove(id)
    }
  }

  async #getSlowly(key: Key, id: string, options: GetOptions | undefined): Promise<Value | undefined> {
    if (options !== undefined) checkOptions(`readThrough("${this.name}")`, options, GET_OPTIONS)
    if (!this.#isEnabled) return this.#lookup.loadUnshared(key, options)
    const catchUp = this.#stallGuard.catchUp()
    if (catchUp !== null) return this.#getSlowly(key, id, await this.#afterCatchUp(catchUp, options))
    const entry =
      this.#lookup.fromMemory(key, id, this.#wheel.now(), options) ??
      (await this.#lookup.wait(this.#lookup.flights(new Map([[id, key]])), options)).get(id)
    return entry?.give() as Value | undefined
  }

  /** Waits until memory may be used. Returns options that keep the parent of the caller's wait. */
  async #afterCatchUp(catchUp: Promise<void>, options: GetOptions | undefined): Promise<GetOptions> {
    const parent = parentOf(options)
    await startWait(parent, `${this.#waitName}: other workers`, UNBOUNDED, () => catchUp)
    return { ...options, parent }
  }

  #onSettingsChanged(): void {
    this.#isEnabled = this.#settings.isEnabled
    if (this.#isEnabled) this.#memory.plan(this.#settings.lifetimes)
    else this.#invalidateHere(INVALIDATE_ALL)
  }
}

/**
 * Creates a cache in front of a source. `load` is called for what neither memory nor Redis has,
 * once at a time for each key, however many callers wait.
 *
 * @param name what it keeps, e.g. `auth:user`: in logs, metrics, `punctual set cache.<name>.ttl`
 *   and, unless `prefix` is given, in the keys of Redis
 * @throws InvalidOptionError for an invalid option, also when caches of one client differ in
 *   `redis.channel` or `redis.subscriber`
 */
export function readThrough<Key extends CacheKey, Value>(
  name: string,
  options: ReadThroughOptions<Key, Value>,
): ReadThrough<Key, Value> {
  return new ReadThrough(name, options)
}
