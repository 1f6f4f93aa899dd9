import { isAbortReason, isTimeout } from '../resilience/abort-reason.ts'
import { type Milliseconds, ms, readDuration, UNBOUNDED } from '../resilience/duration.ts'
import type { TimerWheel } from '../resilience/timer-wheel.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import { parentOf } from '../resilience/wait-scope.ts'
import { startWait } from '../resilience/with-timeout.ts'
import type { Flight } from './flight.ts'
import type { Loader, RunningCounts } from './loader.ts'
import type { CacheEntry, LoadFailures, MemoryTier } from './memory-tier.ts'
import type { CacheKey, CacheSettings, GetOptions, Source } from './read-through-options.ts'

export interface LookupOptions<Key extends CacheKey, Value> {
  /** Name of the wait of its callers. */
  readonly waitName: string
  readonly memory: MemoryTier
  readonly loader: Loader<Key, Value>
  readonly failures: LoadFailures
  readonly source: Source<Key, Value>
  readonly settings: CacheSettings
  readonly counts: RunningCounts
  readonly wheel: TimerWheel
  readonly random: () => number
}

/** Decides what a call gets: the value in memory, a load, or an old value instead of an error. */
export class Lookup<Key extends CacheKey, Value> {
  readonly #options: LookupOptions<Key, Value>

  constructor(options: LookupOptions<Key, Value>) {
    this.#options = options
  }

  /**
   * The entry that memory can answer with, fresh or stale; null when it must be loaded.
   *
   * @throws the error of the last load, during its back-off
   */
  fromMemory(key: Key, id: string, now: number, options?: GetOptions): CacheEntry | null {
    const { counts, failures, random, waitName } = this.#options
    const entry = this.#currentEntry(id)
    if (entry !== undefined && now < entry.freshUntil) {
      counts.hitsMemory++
      if (now >= entry.quietUntil && entry.wantsRefresh(now, random())) {
        if (this.#refresh(key, id, now - entry.loadedAt)) counts.refreshes++
      }
      return entry
    }
    const failure = failures.of(id)
    if (entry !== undefined && failure !== undefined && now < entry.graceUntil) {
      const isBackingOff = now < failure.until
      if (isBackingOff || now < entry.staleUntil) {
        if (!isBackingOff) this.#refresh(key, id)
        counts.degraded++
        recordDegraded(parentOf(options), waitName)
        return entry
      }
    }
    if (failure !== undefined && now < failure.until) {
      counts.backedOff++
      throw failure.error
    }
    if (entry !== undefined && now < entry.staleUntil) {
      counts.stale++
      this.#refresh(key, id)
      return entry
    }
    return null
  }

  /** The entry in memory, unless an invalidation of it may have been missed since it was loaded. */
  #currentEntry(id: string): CacheEntry | undefined {
    const { memory, loader } = this.#options
    const entry = memory.peek(id)
    if (entry === undefined || entry.epoch === loader.epoch) return entry
    memory.delete(id)
    return undefined
  }

  /** @param youngerThan milliseconds */
  #refresh(key: Key, id: string, youngerThan?: number): boolean {
    const { loader } = this.#options
    if (loader.flightOf(id) !== undefined) return false
    loader.start(key, id, { background: true, ...(youngerThan === undefined ? {} : { youngerThan }) })
    return true
  }

  /** Joins or starts a flight for each missing key. */
  flights(missing: ReadonlyMap<string, Key>): ReadonlyMap<string, Flight> {
    const { loader, counts } = this.#options
    const flights = new Map<string, Flight>()
    const wanted: [string, Key][] = []
    for (const [id, key] of missing) {
      const flight = loader.flightOf(id)
      if (flight === undefined) wanted.push([id, key])
      else {
        counts.coalesced++
        flights.set(id, flight)
      }
    }
    const batch = loader.newBatch(wanted.length)
    for (const [id, key] of wanted) {
      flights.set(id, loader.start(key, id, { background: false, ...(batch === undefined ? {} : { batch }) }))
    }
    return flights
  }

  /** Waits for flights as part of the caller's work. An old value replaces an error. */
  wait(flights: ReadonlyMap<string, Flight>, options?: GetOptions): Promise<ReadonlyMap<string, CacheEntry>> {
    const { counts, wheel, waitName } = this.#options
    const found = new Map<string, CacheEntry>()
    let isDegraded = false
    const rescue = (id: string, error: unknown): void => {
      const entry = this.#currentEntry(id)
      if (entry === undefined || wheel.now() >= entry.graceUntil || !isRescuable(error)) {
        counts.misses++
        throw error
      }
      counts.degraded++
      isDegraded = true
      found.set(id, entry)
    }
    const parent = parentOf(options)
    return startWait<ReadonlyMap<string, CacheEntry>, ReadonlyMap<string, CacheEntry>>(
      parent,
      waitName,
      this.#callerTimeout(options),
      async (wait) => {
        await Promise.all(
          Array.from(flights, async ([id, flight]) => {
            try {
              const entry = await flight.join(wait)
              this.#count(entry)
              found.set(id, entry)
            } catch (error) {
              // The timeout of the caller itself is handled by its fallback.
              if (wait.signal.aborted) throw error
              if (isTimeout(error)) recordTimeout(parent, flight, waitName)
              rescue(id, error)
            }
          }),
        )
        if (isDegraded) recordDegraded(parent, waitName)
        return found
      },
      {
        fallback: (error: unknown) => {
          for (const id of flights.keys()) if (!found.has(id)) rescue(id, error)
          return found
        },
      },
    )
  }

  #count(entry: CacheEntry): void {
    const { counts, wheel } = this.#options
    if (!entry.isFromRedis) counts.misses++
    else if (wheel.now() < entry.freshUntil) counts.hitsRedis++
    else counts.stale++
  }

  /** For a disabled cache: loads a value that is neither shared nor kept. */
  loadUnshared(key: Key, options?: GetOptions): Promise<Value | undefined> {
    return this.#loadUnshared(options, 1, async (wait) => (await this.#options.source.one(key, wait)) ?? undefined)
  }

  /** The same for many keys. */
  loadManyUnshared(keys: readonly Key[], options?: GetOptions): Promise<(Value | undefined)[]> {
    const { source } = this.#options
    return this.#loadUnshared(options, keys.length, async (wait) => {
      if (!source.loadsMany) {
        return Promise.all(keys.map(async (key) => (await source.one(key, wait)) ?? undefined))
      }
      return (await source.many(keys, wait)).map((value) => {
        if (value instanceof Error) throw value
        return value ?? undefined
      })
    })
  }

  #loadUnshared<Result>(
    options: GetOptions | undefined,
    loads: number,
    work: Parameters<typeof startWait<Result>>[3],
  ): Promise<Result> {
    const { counts, settings, waitName } = this.#options
    counts.misses += loads
    counts.loads += loads
    const timeout = ms(Math.min(settings.timeout, this.#callerTimeout(options)))
    return startWait<Result>(parentOf(options), waitName, timeout, work)
  }

  #callerTimeout(options: GetOptions | undefined): Milliseconds {
    if (options?.timeout === undefined) return UNBOUNDED
    return readDuration(this.#options.waitName, 'timeout', options.timeout)
  }
}

/** Whether the caller still waits for an answer. */
function isRescuable(error: unknown): boolean {
  return isTimeout(error) || !isAbortReason(error)
}

/** Records in the waits of a request that it got an old value. */
function recordDegraded(parent: WaitNode, name: string): void {
  if (parent.home === null) return
  const now = parent.wheel.now()
  const record = { name, startedAt: now, timeout: ms(0), outcome: 'degraded', endedAt: now } as const
  parent.home.waits.begin(record)
  parent.home.waits.end(record)
}

/**
 * Records in the waits of a request that a load has timed out which ran outside of it, with what it
 * was waiting for: otherwise the request would have failed without a timeout.
 */
function recordTimeout(parent: WaitNode, flight: Flight, waitName: string): void {
  if (parent.home === null) return
  const now = parent.wheel.now()
  const unfinished = flight.unfinishedWaits
  const unnamed = { name: `${waitName}: load`, startedAt: now, timeout: ms(0), endedAt: now }
  for (const { name, startedAt, timeout, endedAt } of unfinished.length > 0 ? unfinished : [unnamed]) {
    const record = { name, startedAt, timeout, outcome: 'timed-out', endedAt: endedAt ?? now } as const
    parent.home.waits.begin(record)
    parent.home.waits.end(record)
  }
}
