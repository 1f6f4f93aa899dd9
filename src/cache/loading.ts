import { isFailureOfWork } from '../resilience/abort-reason.ts'
import { pause } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { TimerWheel } from '../resilience/timer-wheel.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import { callWithin, type WaitScope } from '../resilience/wait-scope.ts'
import { BatchLoad } from './batch-load.ts'
import type { RunningCounts } from './cache-counts.ts'
import { CacheEntry } from './cache-entry.ts'
import type { CacheSettings } from './cache-settings.ts'
import type { Drop } from './drop.ts'
import type { Failures } from './failures.ts'
import { Flight } from './flight.ts'
import type { MemoryTier } from './memory-tier.ts'
import type { CacheKey, Loaded } from './read-through-options.ts'
import type { Lease, RedisTier, StoredValue } from './redis/redis-tier.ts'
import type { Sources } from './sources.ts'
import { takeValue } from './take-value.ts'

/** Milliseconds between two looks whether another process has loaded it: at first, and at most. */
const FIRST_LOOK = 5
const LAST_LOOK = 50

export interface LoadingOptions<Key extends CacheKey, Value> {
  readonly name: string
  readonly sources: Sources<Key, Value>
  readonly tagsOf: ((value: Value, key: Key) => readonly string[]) | null
  readonly settings: CacheSettings
  readonly memory: MemoryTier
  readonly redis: RedisTier | null
  readonly failures: Failures
  readonly counts: RunningCounts
  readonly peerTimeout: Milliseconds
  readonly random: () => number
  readonly wheel: TimerWheel
  /** Undefined for that of the process. */
  readonly ownWheel: TimerWheel | undefined
}

export interface FlightPlan<Key extends CacheKey, Value> {
  /** Goes on without callers. */
  readonly background: boolean
  /** With which others it is loaded. */
  readonly batch?: BatchLoad<Key, Loaded<Value>>
  /** What is in Redis is good enough if it is younger, in milliseconds; default: than `ttl`. */
  readonly youngerThan?: number
}

/** Where an entry comes from. */
export interface Origin {
  readonly isFromRedis: boolean
  /** Milliseconds of the cache's clock. */
  readonly loadedAt: number
  readonly loadTook: number
  readonly era: number
}

/** A value that the app has set, until memory has it. */
export interface Setting {
  readonly id: string
  /** Invalidated meanwhile. */
  detached: boolean
}

/** What one flight holds. */
interface Course<Key extends CacheKey, Value> extends FlightPlan<Key, Value> {
  readonly key: Key
  readonly id: string
  readonly flight: Flight
  readonly era: number
  readonly startedAt: number
  lease: Lease | null
  batch?: BatchLoad<Key, Loaded<Value>>
}

/** Gets what memory does not have: from Redis, from another process that loads it already, or from the source; each key once at a time. */
export class Loading<Key extends CacheKey, Value> {
  readonly #options: LoadingOptions<Key, Value>
  readonly #flights = new Map<string, Flight>()
  readonly #beingSet = new Set<Setting>()
  /** What was loaded in an older era may have been invalidated unheard. */
  era = 0

  constructor(options: LoadingOptions<Key, Value>) {
    this.#options = options
  }

  /** Who loads it already; not who gives it up just now. */
  inFlight(id: string): Flight | undefined {
    const flight = this.#flights.get(id)
    return flight?.isAbandoned ? undefined : flight
  }

  /** What loads so many keys together; undefined where they are loaded one by one. */
  batch(keys: number): BatchLoad<Key, Loaded<Value>> | undefined {
    const { name, sources, settings, ownWheel } = this.#options
    if (keys < 2 || !sources.takesMany) return undefined
    const load = (wanted: readonly Key[], wait: WaitContext) => sources.many(wanted, wait)
    return new BatchLoad(keys, { name, limit: settings.timeout, wheel: ownWheel, load })
  }

  /** Begins to get it. There must be no other flight for it. */
  fly(key: Key, id: string, plan: FlightPlan<Key, Value>): Flight {
    const { name, settings, wheel, ownWheel } = this.#options
    const ended = (error: unknown): void => this.#ended(course, error)
    const flight = new Flight({ name, limit: settings.timeout, background: plan.background, wheel: ownWheel, ended })
    const course: Course<Key, Value> = {
      ...plan,
      key,
      id,
      flight,
      era: this.era,
      startedAt: wheel.now(),
      lease: null,
    }
    this.#flights.set(id, flight)
    flight.start((scope) => this.#obtain(course, scope))
    return flight
  }

  /** A value is about to be set: an invalidation that comes before it is finds it here. Call `end` when it is. */
  beginSetting(id: string): Setting & { end(): void } {
    const setting = { id, detached: false, end: () => void this.#beingSet.delete(setting) }
    this.#beingSet.add(setting)
    return setting
  }

  /** What is under way is not for those who come from now on, and is not kept. */
  detach(drop: Drop): void {
    for (const setting of this.#beingSet) {
      // The source may have had something newer when it was invalidated.
      if (drop.all || drop.tags.length > 0 || drop.keys.includes(setting.id)) setting.detached = true
    }
    // What is loaded now may have any tag.
    const ids = drop.all || drop.tags.length > 0 ? [...this.#flights.keys()] : drop.keys
    for (const id of ids) {
      const flight = this.#flights.get(id)
      if (flight === undefined) continue
      flight.detached = true
      this.#flights.delete(id)
    }
  }

  /** An entry for memory. */
  entryOf(key: Key, value: unknown, origin: Origin): CacheEntry {
    const { name, tagsOf, settings } = this.#options
    const isAbsent = value === null || value === undefined
    const taken = takeValue(`readThrough("${name}"): the value of ${JSON.stringify(String(key))}`, value ?? undefined)
    const tags = tagsOf === null || isAbsent ? [] : tagsOf(taken.value as Value, key)
    // Redis has judged by the plain `ttl`; jitter must not call stale at once what it took for fresh.
    const random = origin.isFromRedis ? 0.5 + this.#options.random() / 2 : this.#options.random()
    return new CacheEntry(taken, { ...origin, isAbsent, tags, random }).plan(settings.lifetimes)
  }

  /** Gives Redis what was loaded under a lease. Nobody waits for it. */
  async store(id: string, lease: Lease, entry: CacheEntry): Promise<void> {
    const { redis, settings, counts } = this.#options
    if (redis === null) return
    const { ttl, negativeTtl, grace, staleFor } = settings.lifetimes
    const { isAbsent, loadTook, tags } = entry
    const life = isAbsent ? negativeTtl : ttl + Math.max(grace, staleFor)
    const value = isAbsent ? undefined : entry.give()
    if (!(await redis.store(id, lease, { value, isAbsent, loadTook, tags, life }))) counts.storesRefused++
  }

  async #obtain(course: Course<Key, Value>, scope: WaitScope): Promise<CacheEntry> {
    const { redis } = this.#options
    if (redis !== null) {
      let isToLoad = false
      try {
        const found = await this.#fromRedis(redis, course, scope)
        if (found !== null) return found
        isToLoad = true
      } finally {
        if (!isToLoad) this.#leaveBatch(course)
      }
    }
    return this.#load(course, scope)
  }

  /** The others need not wait for this one. */
  #leaveBatch(course: Course<Key, Value>): void {
    course.batch?.decline()
    delete course.batch
  }

  /** What Redis has, or null when it is to be loaded. */
  async #fromRedis(redis: RedisTier, course: Course<Key, Value>, scope: WaitScope): Promise<CacheEntry | null> {
    const { settings, counts, wheel, peerTimeout } = this.#options
    const { id, flight } = course
    const until = course.startedAt + Math.min(peerTimeout, settings.timeout / 2)
    for (let delay = FIRST_LOOK; redis.has(id); delay = Math.min(LAST_LOOK, delay * 2)) {
      const { ttl, negativeTtl } = settings.lifetimes
      const fresh = { value: Math.min(ttl, course.youngerThan ?? ttl), absent: negativeTtl }
      const read = await redis.read(id, scope, fresh, settings.timeout)
      if (scope.reason !== undefined) {
        if (read?.lease) void redis.release(id, read.lease)
        throw scope.reason
      }
      if (read === null) return null
      course.lease = read.lease
      const entry = read.stored === null ? null : this.#entryOfStored(course, read.stored)
      if (entry !== null) {
        this.#keep(course, entry)
        if (read.isFresh) return entry
        // Past its time, but good enough for those who wait.
        if (wheel.now() < entry.staleUntil) {
          if (read.isBusy) return entry
          flight.answerEarly(entry)
        }
      }
      if (!read.isBusy || wheel.now() >= until) return null
      if (delay === FIRST_LOOK) counts.peerWaits++
      this.#leaveBatch(course)
      await pause(ms(delay))
      if (scope.reason !== undefined) throw scope.reason
    }
    return null
  }

  #entryOfStored(course: Course<Key, Value>, { value, age, isAbsent, loadTook }: StoredValue): CacheEntry | null {
    try {
      const loadedAt = this.#options.wheel.now() - age
      return this.entryOf(course.key, isAbsent ? undefined : value, {
        isFromRedis: true,
        loadedAt,
        loadTook,
        era: course.era,
      })
    } catch {
      // A codec of the app's own has made something that cannot be kept.
      this.#options.counts.undecodable++
      return null
    }
  }

  async #load(course: Course<Key, Value>, scope: WaitScope): Promise<CacheEntry> {
    const { sources, counts, wheel, failures, redis } = this.#options
    const { key, id, batch } = course
    const from = wheel.now()
    counts.loads++
    const value = batch?.isOpen
      ? await batch.want(key, scope.signal)
      : await callWithin(scope, () => sources.one(key, scope))
    if (scope.reason !== undefined) throw scope.reason
    const now = wheel.now()
    const entry = this.entryOf(key, value, {
      isFromRedis: false,
      loadedAt: now,
      loadTook: now - from,
      era: course.era,
    })
    failures.remove(id)
    this.#keep(course, entry)
    const { lease } = course
    course.lease = null
    if (lease !== null) void (course.flight.detached ? redis?.release(id, lease) : this.store(id, lease, entry))
    return entry
  }

  #keep(course: Course<Key, Value>, entry: CacheEntry): void {
    const { memory, settings, wheel } = this.#options
    // Neither is what a ttl of 0 would never answer with.
    if (course.flight.detached || !settings.isOn || entry.graceUntil <= wheel.now()) return
    memory.set(course.id, entry)
  }

  #ended(course: Course<Key, Value>, error: unknown): void {
    const { redis, failures, counts, wheel } = this.#options
    const { id, flight, lease } = course
    if (this.#flights.get(id) === flight) this.#flights.delete(id)
    if (error === undefined) return
    if (lease !== null && redis !== null) void redis.release(id, lease)
    if (!isFailureOfWork(error)) {
      counts.loadsAbandoned++
      return
    }
    counts.loadErrors++
    if (!flight.detached) failures.add(id, error, wheel.now())
  }
}
