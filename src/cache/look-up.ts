import { isAbortReason, isTimeout } from '../resilience/abort-reason.ts'
import { type Milliseconds, ms, readDuration, UNBOUNDED } from '../resilience/duration.ts'
import type { TimerWheel } from '../resilience/timer-wheel.ts'
import { parentOf } from '../resilience/wait-scope.ts'
import { startWait } from '../resilience/with-timeout.ts'
import type { RunningCounts } from './cache-counts.ts'
import type { CacheEntry } from './cache-entry.ts'
import type { CacheSettings } from './cache-settings.ts'
import type { Failures } from './failures.ts'
import type { Flight } from './flight.ts'
import type { Loading } from './loading.ts'
import type { MemoryTier } from './memory-tier.ts'
import type { CacheKey, GetOptions } from './read-through-options.ts'
import { recordDegraded } from './record-degraded.ts'
import type { Sources } from './sources.ts'

export interface LookUpParts<Key extends CacheKey, Value> {
  /** What its callers wait for, in their ledgers. */
  readonly waitName: string
  readonly memory: MemoryTier
  readonly loading: Loading<Key, Value>
  readonly failures: Failures
  readonly sources: Sources<Key, Value>
  readonly settings: CacheSettings
  readonly counts: RunningCounts
  readonly wheel: TimerWheel
  readonly random: () => number
}

/** What a question is answered with: what memory has, fresh or not; else what somebody loads; else the old value in place of an error. */
export class LookUp<Key extends CacheKey, Value> {
  readonly #parts: LookUpParts<Key, Value>

  constructor(parts: LookUpParts<Key, Value>) {
    this.#parts = parts
  }

  /** What memory can answer with, fresh or not; null when somebody must be asked. Throws the error of a load that failed a moment ago. */
  fromMemory(key: Key, id: string, now: number, options?: GetOptions): CacheEntry | null {
    const entry = this.#fromThisEra(id)
    if (entry !== undefined && now < entry.freshUntil) {
      this.#parts.counts.hitsMemory++
      if (now >= entry.quietUntil && entry.wantsRefresh(now, this.#parts.random())) {
        if (this.#refresh(key, id, now - entry.loadedAt)) this.#parts.counts.refreshes++
      }
      return entry
    }
    const failure = this.#parts.failures.of(id)
    if (entry !== undefined && failure !== undefined && now < entry.graceUntil) {
      const isBackingOff = now < failure.until
      if (isBackingOff || now < entry.staleUntil) {
        if (!isBackingOff) this.#refresh(key, id)
        this.#parts.counts.degraded++
        recordDegraded(parentOf(options), this.#parts.waitName)
        return entry
      }
    }
    if (failure !== undefined && now < failure.until) {
      this.#parts.counts.backedOff++
      throw failure.error
    }
    if (entry !== undefined && now < entry.staleUntil) {
      this.#parts.counts.stale++
      this.#refresh(key, id)
      return entry
    }
    return null
  }

  /** An entry of an older era may have been invalidated while nobody heard; then it is no answer to anything. */
  #fromThisEra(id: string): CacheEntry | undefined {
    const entry = this.#parts.memory.peek(id)
    if (entry === undefined || entry.era === this.#parts.loading.era) return entry
    this.#parts.memory.delete(id)
    return undefined
  }

  /** @param youngerThan milliseconds */
  #refresh(key: Key, id: string, youngerThan?: number): boolean {
    if (this.#parts.loading.inFlight(id) !== undefined) return false
    this.#parts.loading.fly(key, id, { background: true, ...(youngerThan === undefined ? {} : { youngerThan }) })
    return true
  }

  flights(missing: ReadonlyMap<string, Key>): ReadonlyMap<string, Flight> {
    const flights = new Map<string, Flight>()
    const wanted: [string, Key][] = []
    for (const [id, key] of missing) {
      const flight = this.#parts.loading.inFlight(id)
      if (flight === undefined) wanted.push([id, key])
      else {
        this.#parts.counts.coalesced++
        flights.set(id, flight)
      }
    }
    const batch = this.#parts.loading.batch(wanted.length)
    for (const [id, key] of wanted) {
      flights.set(
        id,
        this.#parts.loading.fly(key, id, { background: false, ...(batch === undefined ? {} : { batch }) }),
      )
    }
    return flights
  }

  /** Waits for flights as part of the caller's work; an older value takes the place of an error. */
  wait(flights: ReadonlyMap<string, Flight>, options?: GetOptions): Promise<ReadonlyMap<string, CacheEntry>> {
    const found = new Map<string, CacheEntry>()
    let isDegraded = false
    const rescue = (id: string, error: unknown): void => {
      const entry = this.#fromThisEra(id)
      if (entry === undefined || this.#parts.wheel.now() >= entry.graceUntil || !isRescued(error)) {
        this.#parts.counts.misses++
        throw error
      }
      this.#parts.counts.degraded++
      isDegraded = true
      found.set(id, entry)
    }
    const parent = parentOf(options)
    return startWait<ReadonlyMap<string, CacheEntry>, ReadonlyMap<string, CacheEntry>>(
      parent,
      this.#parts.waitName,
      this.#callerTimeout(options),
      async (wait) => {
        await Promise.all(
          Array.from(flights, async ([id, flight]) => {
            try {
              const entry = await flight.join(wait)
              this.#count(entry)
              found.set(id, entry)
            } catch (error) {
              // When the caller itself has run out of time, that is for its fallback.
              if (wait.signal.aborted) throw error
              rescue(id, error)
            }
          }),
        )
        if (isDegraded) recordDegraded(parent, this.#parts.waitName)
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
    if (!entry.isFromRedis) this.#parts.counts.misses++
    else if (this.#parts.wheel.now() < entry.freshUntil) this.#parts.counts.hitsRedis++
    else this.#parts.counts.stale++
  }

  loadAlone(key: Key, options?: GetOptions): Promise<Value | undefined> {
    return this.#unshared(options, 1, async (wait) => (await this.#parts.sources.one(key, wait)) ?? undefined)
  }

  loadMany(keys: readonly Key[], options?: GetOptions): Promise<(Value | undefined)[]> {
    return this.#unshared(options, keys.length, async (wait) => {
      if (!this.#parts.sources.takesMany) {
        return Promise.all(keys.map(async (key) => (await this.#parts.sources.one(key, wait)) ?? undefined))
      }
      return (await this.#parts.sources.many(keys, wait)).map((value) => {
        if (value instanceof Error) throw value
        return value ?? undefined
      })
    })
  }

  /** Switched off, it is as if there were no cache, but for the limit. */
  #unshared<Result>(
    options: GetOptions | undefined,
    loads: number,
    work: Parameters<typeof startWait<Result>>[3],
  ): Promise<Result> {
    this.#parts.counts.misses += loads
    this.#parts.counts.loads += loads
    const limit = ms(Math.min(this.#parts.settings.timeout, this.#callerTimeout(options)))
    return startWait<Result>(parentOf(options), this.#parts.waitName, limit, work)
  }

  #callerTimeout(options: GetOptions | undefined): Milliseconds {
    return options?.timeout === undefined ? UNBOUNDED : readDuration(this.#parts.waitName, 'timeout', options.timeout)
  }
}

/** Nobody is there any more to be told something else. */
function isRescued(error: unknown): boolean {
  return isTimeout(error) || !isAbortReason(error)
}
