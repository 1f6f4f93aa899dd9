import type { CacheReport } from '../diagnostics/modules/cache-report.ts'
import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { readCount, readDuration, UNBOUNDED } from '../resilience/duration.ts'
import { type TimerWheel, waitWheel } from '../resilience/timer-wheel.ts'
import { parentOf } from '../resilience/wait-scope.ts'
import { startWait } from '../resilience/with-timeout.ts'
import { newCounts, type RunningCounts } from './cache-counts.ts'
import { CacheRoom, type RoomCache } from './cache-room.ts'
import { CacheSettings } from './cache-settings.ts'
import { DROP_ALL, type Drop, dropOfKey, dropOfTag } from './drop.ts'
import { Failures } from './failures.ts'
import { Loading } from './loading.ts'
import { LookUp } from './look-up.ts'
import { MemoryTier } from './memory-tier.ts'
import type { CacheKey, GetOptions, Loaded, ReadThroughOptions } from './read-through-options.ts'
import { openRedisTier } from './redis/open-redis-tier.ts'
import type { RedisTier } from './redis/redis-tier.ts'
import { Sources } from './sources.ts'
import { STOOD_STILL, type Steadiness } from './workers/steadiness.ts'

const STEADY = { readUntil: Number.POSITIVE_INFINITY, settled: () => null }

/** A cache in front of a source. Made by `readThrough`. */
export class ReadThrough<Key extends CacheKey, Value> implements RoomCache {
  readonly name: string
  readonly prefix: string
  readonly #memory: MemoryTier
  readonly #redis: RedisTier | null
  readonly #loading: Loading<Key, Value>
  readonly #lookUp: LookUp<Key, Value>
  readonly #settings: CacheSettings
  readonly #failures: Failures
  readonly #counts: RunningCounts = newCounts()
  readonly #room: CacheRoom
  #steadiness: Pick<Steadiness, 'readUntil' | 'settled'>
  readonly #wheel: TimerWheel
  readonly #closeRedis: () => void
  readonly #waitName: string
  readonly #isTagged: boolean
  #isOn: boolean
  #isClosed = false

  constructor(name: string, options: ReadThroughOptions<Key, Value>) {
    const what = `readThrough("${name}")`
    this.name = name
    this.prefix = options.prefix ?? name
    this.#waitName = `cache ${name}`
    this.#wheel = options.wheel ?? waitWheel
    const random = options.random ?? Math.random
    const sources = new Sources(name, options)
    this.#isTagged = options.tags !== undefined
    const { items = 10_000, bytes = 32 * 1024 * 1024 } = options.memory ?? {}
    this.#memory = new MemoryTier({
      items: readCount(what, 'memory.items', items, 1),
      bytes: readCount(what, 'memory.bytes', bytes, 1),
      hasTags: this.#isTagged,
    })
    this.#failures = new Failures(readDuration(what, 'backOff', options.backOff ?? '100ms'), random)
    const peerTimeout = readDuration(what, 'peerTimeout', options.peerTimeout ?? '1s')
    const {
      ttl = '5m',
      grace = '1h',
      negativeTtl = '10s',
      timeout: limit = '5s',
      softTimeout = '50ms',
      staleFor,
    } = options
    this.#settings = new CacheSettings(name, { ttl, grace, negativeTtl, limit, softTimeout, staleFor }, () =>
      this.#replan(),
    )
    this.#isOn = this.#settings.isOn
    const { tier, close } = openRedisTier(name, this.prefix, options, {
      softTimeout: () => this.#settings.softTimeout,
      undecodable: () => void this.#counts.undecodable++,
      hearDrop: (drop) => this.hearDrop(drop, false),
      missed: () => void this.#loading.era++,
    })
    this.#redis = tier
    this.#closeRedis = close
    this.#loading = new Loading<Key, Value>({
      name: this.#waitName,
      sources,
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
    this.#lookUp = new LookUp<Key, Value>({
      waitName: this.#waitName,
      memory: this.#memory,
      loading: this.#loading,
      failures: this.#failures,
      sources,
      settings: this.#settings,
      counts: this.#counts,
      wheel: this.#wheel,
      random,
    })
    this.#room = CacheRoom.current()
    const joined = this.#room.enter(this)
    this.#steadiness = joined === null ? STEADY : { readUntil: Number.NEGATIVE_INFINITY, settled: () => joined }
    void joined?.then(() => {
      this.#steadiness = this.#room.steadiness ?? STEADY
    })
  }

  /**
   * The value under a key: from memory, from Redis, or from the source. Undefined where the source has nothing.
   *
   * @throws (as a rejection) what `load` throws, a `WaitTimeoutError` for a load or a caller whose time ran out, or the reason why the caller was
   *   given up; only where there is no older value within `grace` to answer with
   */
  get(key: Key, options?: GetOptions): Promise<Value | undefined> {
    // Most calls end here: no closure, no context, one promise.
    const id = typeof key === 'string' ? key : String(key)
    const entry = this.#memory.get(id)
    if (entry !== undefined) {
      const now = this.#wheel.now()
      if (now < entry.quietUntil && entry.era === this.#loading.era && now - this.#steadiness.readUntil < STOOD_STILL) {
        this.#counts.hitsMemory++
        return Promise.resolve(entry.give() as Value | undefined)
      }
    }
    return this.#getSlowly(key, id, options)
  }

  /** The values under many keys, in their order; those that neither tier has are loaded by one `loadMany`. Rejects as `get` does. */
  async getMany(keys: readonly Key[], options?: GetOptions): Promise<(Value | undefined)[]> {
    if (!this.#isOn) return this.#lookUp.loadMany(keys, options)
    const settled = this.#steadiness.settled()
    if (settled !== null) return this.getMany(keys, await this.#afterSettling(settled, options))
    const now = this.#wheel.now()
    const ids = keys.map(String)
    const entries = ids.map((id, index) => this.#lookUp.fromMemory(keys[index] as Key, id, now, options))
    const missing = new Map<string, Key>()
    for (const [index, id] of ids.entries()) if (entries[index] === null) missing.set(id, keys[index] as Key)
    if (missing.size > 0) {
      const found = await this.#lookUp.wait(this.#lookUp.flights(missing), options)
      for (const [index, id] of ids.entries()) entries[index] ??= found.get(id) ?? null
    }
    return entries.map((entry) => entry?.give() as Value | undefined)
  }

  /**
   * Puts a value, which the source must have by now, in the place of what there was; for all workers and machines, as `invalidate` does. `null` and
   * `undefined` say that there is none. Where several writers may update the same key at the same moment, `invalidate` it: nobody knows whose `set` was the last.
   *
   * @throws CacheValueError (as a rejection) for a value that cannot be shared
   */
  async set(key: Key, value: Loaded<Value>): Promise<void> {
    const id = String(key)
    if (!this.#isOn) return this.#drop(dropOfKey(id))
    const now = this.#wheel.now()
    const era = this.#loading.era
    const entry = this.#loading.entryOf(key, value, { isFromRedis: false, loadedAt: now, loadTook: 0, era })
    this.#counts.invalidations++
    this.#dropHere(dropOfKey(id))
    const setting = this.#loading.beginSetting(id)
    const { reached, lease } = (await this.#redis?.take(id, this.#settings.timeout)) ?? { reached: true, lease: null }
    setting.end()
    this.#dropHere(dropOfKey(id))
    if (this.#isOn && !setting.detached) this.#memory.set(id, entry)
    if (lease !== null) await this.#loading.store(id, lease, entry)
    await this.#tell(dropOfKey(id), !reached)
  }

  /**
   * Drops what is kept under a key, or with a tag. Resolves when this worker, the other workers of this machine and Redis have carried it out; when Redis does not
   * answer within the soft limit it is told later, and until then not asked about it. Rejects only for a tag where there are no `tags`.
   */
  invalidate(target: Key | { readonly tag: string }): Promise<void> {
    if (typeof target !== 'object') return this.#drop(dropOfKey(String(target)))
    if (!this.#isTagged) {
      return Promise.reject(
        new InvalidOptionError(`readThrough("${this.name}")`, 'tags', undefined, 'must be given to invalidate by tag'),
      )
    }
    return this.#drop(dropOfTag(target.tag))
  }

  /** Drops everything, as `invalidate` does. */
  invalidateAll(): Promise<void> {
    return this.#drop(DROP_ALL)
  }

  /** What `/status` shows of it. */
  report(): CacheReport {
    const counts = { ...this.#counts }
    const hits = counts.hitsMemory + counts.hitsRedis + counts.stale + counts.degraded
    const all = hits + counts.misses + counts.backedOff
    return {
      name: this.name,
      items: this.#memory.items,
      bytes: this.#memory.bytes,
      hitRate: all === 0 ? null : hits / all,
      on: this.#isOn,
      counts,
      redis: this.#redis?.report() ?? null,
    }
  }

  /** Ends what it does by itself, and its connection for what other machines say. The client it was given stays open. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#room.leave(this)
    this.#closeRedis()
    this.#settings.close()
    this.#memory.clear()
  }

  /** Another process has invalidated this. Called by the room. */
  hearDrop(drop: Drop, queued: boolean): void {
    if (queued) this.#redis?.queue(drop)
    this.#dropHere(drop)
  }

  /** What Redis was not told yet. Called by the room. */
  pending(): Drop | null {
    return this.#redis?.pending ?? null
  }

  async #drop(drop: Drop): Promise<void> {
    this.#counts.invalidations++
    this.#dropHere(drop)
    const reached = (await this.#redis?.drop(drop)) ?? true
    // What was read from Redis meanwhile was the old value.
    if (this.#redis !== null) this.#dropHere(drop)
    await this.#tell(drop, !reached)
  }

  /** Who was not heard of yet is not waited for: so those who are there are heard first. */
  async #tell(drop: Drop, queued: boolean): Promise<void> {
    const settled = this.#steadiness.settled()
    if (settled !== null) await settled
    await this.#room.tell(this, drop, queued)
  }

  #dropHere(drop: Drop): void {
    this.#loading.detach(drop)
    if (drop.all) {
      this.#memory.clear()
      this.#failures.clear()
    }
    for (const tag of drop.tags) this.#memory.deleteTag(tag)
    for (const id of drop.keys) {
      this.#memory.delete(id)
      this.#failures.remove(id)
    }
  }

  async #getSlowly(key: Key, id: string, options: GetOptions | undefined): Promise<Value | undefined> {
    if (!this.#isOn) return this.#lookUp.loadAlone(key, options)
    const settled = this.#steadiness.settled()
    if (settled !== null) return this.#getSlowly(key, id, await this.#afterSettling(settled, options))
    const entry =
      this.#lookUp.fromMemory(key, id, this.#wheel.now(), options) ??
      (await this.#lookUp.wait(this.#lookUp.flights(new Map([[id, key]])), options)).get(id)
    return entry?.give() as Value | undefined
  }

  /** Waits until this worker has heard what it must know before it answers. Returns options that still know whose wait it is. */
  async #afterSettling(settled: Promise<void>, options: GetOptions | undefined): Promise<GetOptions> {
    const parent = parentOf(options)
    await startWait(parent, `${this.#waitName}: other workers`, UNBOUNDED, () => settled)
    return { ...options, parent }
  }

  /** Settings were changed while it runs. */
  #replan(): void {
    this.#isOn = this.#settings.isOn
    if (this.#isOn) this.#memory.plan(this.#settings.lifetimes)
    else this.#dropHere(DROP_ALL)
  }
}

/**
 * A cache in front of a source: `load` is asked for what neither this worker's memory nor Redis has, once at a time for each key, however many ask.
 *
 * @param name what it keeps, e.g. `auth:user`: for log, metrics, `punctual set cache.<name>.ttl` and, unless `prefix` says otherwise, its keys in Redis
 * @throws InvalidOptionError for an option that is invalid, also where caches of one client differ in `redis.channel` or `redis.subscriber`
 */
export function readThrough<Key extends CacheKey, Value>(
  name: string,
  options: ReadThroughOptions<Key, Value>,
): ReadThrough<Key, Value> {
  return new ReadThrough(name, options)
}
