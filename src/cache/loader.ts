import { isFailureOfWork } from '../resilience/abort-reason.ts'
import { pause } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { TimerWheel } from '../resilience/timer-wheel.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import { callWithin, type WaitScope } from '../resilience/wait-scope.ts'
import type { CacheCounts } from './cache-report.ts'
import { BatchLoad, Flight } from './flight.ts'
import { freezeClone } from './freeze-clone.ts'
import type { Invalidation } from './invalidation.ts'
import { CacheEntry, type LoadFailures, type MemoryTier } from './memory-tier.ts'
import type { CacheKey, CacheSettings, Loaded, Source } from './read-through-options.ts'
import type { Lease, RedisTier, StoredValue } from './redis/redis-tier.ts'

/** Milliseconds between checks whether another process has loaded the value. */
const FIRST_PEER_CHECK = 5
const MAX_PEER_CHECK = 50

/** The counts of a cache while it runs. */
export type RunningCounts = { -readonly [Name in keyof CacheCounts]: number }

export function newCounts(): RunningCounts {
  return {
    hitsMemory: 0,
    hitsRedis: 0,
    misses: 0,
    stale: 0,
    degraded: 0,
    loads: 0,
    loadErrors: 0,
    loadsAbandoned: 0,
    coalesced: 0,
    backedOff: 0,
    refreshes: 0,
    peerWaits: 0,
    invalidations: 0,
    undecodable: 0,
    storesRefused: 0,
  }
}

export interface LoaderOptions<Key extends CacheKey, Value> {
  readonly name: string
  readonly source: Source<Key, Value>
  readonly tagsOf: ((value: Value, key: Key) => readonly string[]) | null
  readonly settings: CacheSettings
  readonly memory: MemoryTier
  readonly redis: RedisTier | null
  readonly failures: LoadFailures
  readonly counts: RunningCounts
  readonly peerTimeout: Milliseconds
  readonly random: () => number
  readonly wheel: TimerWheel
  /** Undefined for that of the process. */
  readonly ownWheel: TimerWheel | undefined
}

export interface LoadPlan<Key extends CacheKey, Value> {
  /** Continues without callers. */
  readonly background: boolean
  /** The batch it is loaded with. */
  readonly batch?: BatchLoad<Key, Loaded<Value>>
  /** Accept the value of Redis if it is younger, in milliseconds; default: `ttl`. */
  readonly youngerThan?: number
}

/** Where an entry comes from. */
export interface Origin {
  readonly isFromRedis: boolean
  /** Milliseconds of the cache's clock. */
  readonly loadedAt: number
  readonly loadTook: number
  readonly epoch: number
}

/** A value that the app is setting, until memory has it. */
export interface PendingSet {
  readonly id: string
  /** It was invalidated in the meantime. */
  isDetached: boolean
  end(): void
}

/** The state of one flight. */
interface LoadTask<Key extends CacheKey, Value> extends LoadPlan<Key, Value> {
  readonly key: Key
  readonly id: string
  readonly flight: Flight
  readonly epoch: number
  readonly startedAt: number
  lease: Lease | null
  batch?: BatchLoad<Key, Loaded<Value>>
}

/**
 * Gets what memory does not have, each key once at a time: from Redis, from another process that is
 * loading it, or from the source.
 */
export class Loader<Key extends CacheKey, Value> {
  readonly #options: LoaderOptions<Key, Value>
  readonly #flights = new Map<string, Flight>()
  readonly #pendingSets = new Set<PendingSet>()
  /** Grows when invalidations may have been missed: entries of older epochs are not used. */
  epoch = 0

  constructor(options: LoaderOptions<Key, Value>) {
    this.#options = options
  }

  /** The flight that loads this key, unless it is being cancelled. */
  flightOf(id: string): Flight | undefined {
    const flight = this.#flights.get(id)
    return flight?.isCancelled ? undefined : flight
  }

  /** A batch for so many keys; undefined if they are loaded one by one. */
  newBatch(keys: number): BatchLoad<Key, Loaded<Value>> | undefined {
    const { name, source, settings, ownWheel } = this.#options
    if (keys < 2 || !source.loadsMany) return undefined
    const load = (wanted: readonly Key[], wait: WaitContext) => source.many(wanted, wait)
    return new BatchLoad(keys, { name, timeout: settings.timeout, wheel: ownWheel, load })
  }

  /** Starts a flight. There must be no other one for the key. */
  start(key: Key, id: string, plan: LoadPlan<Key, Value>): Flight {
    const { name, settings, wheel, ownWheel } = this.#options
    const onEnd = (error: unknown): void => this.#onEnd(task, error)
    const { background } = plan
    const flight = new Flight({ name, timeout: settings.timeout, background, wheel: ownWheel, onEnd })
    const task: LoadTask<Key, Value> = {
      ...plan,
      key,
      id,
      flight,
      epoch: this.epoch,
      startedAt: wheel.now(),
      lease: null,
    }
    this.#flights.set(id, flight)
    flight.start((scope) => this.#obtain(task, scope))
    return flight
  }

  /** Registers a value that is being set, so that an invalidation in the meantime detaches it. */
  beginSet(id: string): PendingSet {
    const pending: PendingSet = { id, isDetached: false, end: () => void this.#pendingSets.delete(pending) }
    this.#pendingSets.add(pending)
    return pending
  }

  /** Detaches running loads and sets: they are not shared with later callers, and not kept. */
  detach({ keys, tags, all }: Invalidation): void {
    // A running load may have any tag.
    const affectsAll = all || tags.length > 0
    for (const pending of this.#pendingSets) {
      // The source may have had a newer value when it was invalidated.
      if (affectsAll || keys.includes(pending.id)) pending.isDetached = true
    }
    for (const id of affectsAll ? [...this.#flights.keys()] : keys) {
      const flight = this.#flights.get(id)
      if (flight === undefined) continue
      flight.isDetached = true
      this.#flights.delete(id)
    }
  }

  newEntry(key: Key, value: unknown, origin: Origin): CacheEntry {
    const { name, tagsOf, settings } = this.#options
    const isAbsent = value === null || value === undefined
    const clone = freezeClone(`readThrough("${name}"): the value of ${JSON.stringify(String(key))}`, value ?? undefined)
    const tags = tagsOf === null || isAbsent ? [] : tagsOf(clone.value as Value, key)
    // Redis compares with the plain `ttl`, so jitter must not make stale what it considered fresh.
    const random = origin.isFromRedis ? 0.5 + this.#options.random() / 2 : this.#options.random()
    return new CacheEntry(clone, { ...origin, isAbsent, tags, random }).plan(settings.lifetimes)
  }

  /** Stores in Redis what was loaded under a lease. */
  async store(id: string, lease: Lease, entry: CacheEntry): Promise<void> {
    const { redis, settings, counts } = this.#options
    if (redis === null) return
    const { ttl, negativeTtl, grace, staleFor } = settings.lifetimes
    const { isAbsent, loadTook, tags } = entry
    const life = isAbsent ? negativeTtl : ttl + Math.max(grace, staleFor)
    const value = isAbsent ? undefined : entry.give()
    if (!(await redis.store(id, lease, { value, isAbsent, loadTook, tags, life }))) counts.storesRefused++
  }

  async #obtain(task: LoadTask<Key, Value>, scope: WaitScope): Promise<CacheEntry> {
    const { redis } = this.#options
    if (redis !== null) {
      let mustLoad = false
      try {
        const found = await this.#readFromRedis(redis, task, scope)
        if (found !== null) return found
        mustLoad = true
      } finally {
        if (!mustLoad) this.#leaveBatch(task)
      }
    }
    return this.#load(task, scope)
  }

  /** Lets the batch start without this key. */
  #leaveBatch(task: LoadTask<Key, Value>): void {
    task.batch?.decline()
    delete task.batch
  }

  /** The entry in Redis, or null when the value must be loaded. */
  async #readFromRedis(redis: RedisTier, task: LoadTask<Key, Value>, scope: WaitScope): Promise<CacheEntry | null> {
    const { settings, counts, wheel, peerTimeout } = this.#options
    const { id, flight } = task
    const until = task.startedAt + Math.min(peerTimeout, settings.timeout / 2)
    for (let delay = FIRST_PEER_CHECK; redis.isUsable(id); delay = Math.min(MAX_PEER_CHECK, delay * 2)) {
      const { ttl, negativeTtl } = settings.lifetimes
      const maxAge = { value: Math.min(ttl, task.youngerThan ?? ttl), absent: negativeTtl }
      const read = await redis.read(id, scope, maxAge, settings.timeout)
      if (scope.reason !== undefined) {
        if (read?.lease) void redis.release(id, read.lease)
        throw scope.reason
      }
      if (read === null) return null
      task.lease = read.lease
      const entry = read.stored === null ? null : this.#entryOfStored(task, read.stored)
      if (entry !== null) {
        this.#keep(task, entry)
        if (read.isFresh) return entry
        // It is past its ttl, but its callers accept it.
        if (wheel.now() < entry.staleUntil) {
          if (read.isBusy) return entry
          flight.resolveEarly(entry)
        }
      }
      if (!read.isBusy || wheel.now() >= until) return null
      if (delay === FIRST_PEER_CHECK) counts.peerWaits++
      this.#leaveBatch(task)
      await pause(ms(delay))
      if (scope.reason !== undefined) throw scope.reason
    }
    return null
  }

  #entryOfStored(
    { key, epoch }: LoadTask<Key, Value>,
    { value, age, isAbsent, loadTook }: StoredValue,
  ): CacheEntry | null {
    try {
      const loadedAt = this.#options.wheel.now() - age
      return this.newEntry(key, isAbsent ? undefined : value, { isFromRedis: true, loadedAt, loadTook, epoch })
    } catch {
      // The codec of the app has decoded something that cannot be kept.
      this.#options.counts.undecodable++
      return null
    }
  }

  async #load(task: LoadTask<Key, Value>, scope: WaitScope): Promise<CacheEntry> {
    const { source, counts, wheel, failures, redis } = this.#options
    const { key, id, batch, epoch } = task
    const startedAt = wheel.now()
    counts.loads++
    const value = batch?.isOpen
      ? await batch.want(key, scope.signal)
      : await callWithin(scope, () => source.one(key, scope))
    if (scope.reason !== undefined) throw scope.reason
    const now = wheel.now()
    const entry = this.newEntry(key, value, { isFromRedis: false, loadedAt: now, loadTook: now - startedAt, epoch })
    failures.remove(id)
    this.#keep(task, entry)
    const { lease } = task
    task.lease = null
    if (lease !== null) void (task.flight.isDetached ? redis?.release(id, lease) : this.store(id, lease, entry))
    return entry
  }

  #keep(task: LoadTask<Key, Value>, entry: CacheEntry): void {
    const { memory, settings, wheel } = this.#options
    // An entry that is over already, as with a ttl of 0, would never be used.
    if (task.flight.isDetached || !settings.isEnabled || entry.graceUntil <= wheel.now()) return
    memory.set(task.id, entry)
  }

  #onEnd(task: LoadTask<Key, Value>, error: unknown): void {
    const { redis, failures, counts, wheel } = this.#options
    const { id, flight, lease } = task
    if (this.#flights.get(id) === flight) this.#flights.delete(id)
    if (error === undefined) return
    if (lease !== null && redis !== null) void redis.release(id, lease)
    if (!isFailureOfWork(error)) {
      counts.loadsAbandoned++
      return
    }
    counts.loadErrors++
    if (!flight.isDetached) failures.add(id, error, wheel.now())
  }
}
