import { LRUCache } from 'lru-cache'
import { cloneValue, type FrozenClone } from './freeze-clone.ts'

/** How long an entry is used, in milliseconds. */
export interface Lifetimes {
  readonly ttl: number
  readonly staleFor: number
  readonly grace: number
  readonly negativeTtl: number
}

/**
 * Share of the lifetime that is random, so that entries written together do not expire together.
 */
const JITTER = 0.1
/**
 * Earlier than this many load times before the end, an early refresh has a chance below 1 in 10^8.
 */
const EARLIEST_REFRESH = 20

/** A value in memory. Its instants are milliseconds of the monotonic clock. */
export class CacheEntry {
  readonly #value: unknown
  readonly #isMutable: boolean
  /** The source has no value under this key. */
  readonly isAbsent: boolean
  /** Memory it takes, estimated. */
  readonly bytes: number
  readonly tags: readonly string[]
  readonly isFromRedis: boolean
  /** When it was loaded, here or by another process. */
  readonly loadedAt: number
  /** Duration of the load, in milliseconds. */
  readonly loadTook: number
  /** The epoch it was loaded in. Invalidations of older epochs may have been missed. */
  readonly epoch: number
  readonly #jitter: number
  /** No early refresh happens before. */
  quietUntil = 0
  freshUntil = 0
  /** Until then it is returned while it is reloaded. */
  staleUntil = 0
  /** Until then it is returned instead of an error. */
  graceUntil = 0

  constructor(
    { value, isMutable, bytes }: FrozenClone,
    options: {
      readonly isAbsent: boolean
      readonly isFromRedis: boolean
      readonly tags: readonly string[]
      readonly loadedAt: number
      readonly loadTook: number
      readonly epoch: number
      /** From 0 up to 1. */
      readonly random: number
    },
  ) {
    this.#value = value
    this.#isMutable = isMutable
    this.bytes = bytes
    this.isAbsent = options.isAbsent
    this.tags = options.tags
    this.isFromRedis = options.isFromRedis
    this.loadedAt = options.loadedAt
    this.loadTook = options.loadTook
    this.epoch = options.epoch
    this.#jitter = 1 - JITTER + 2 * JITTER * options.random
  }

  /** The value for a caller: frozen and shared, or a copy if it cannot be frozen. */
  give(): unknown {
    return this.#isMutable ? cloneValue(this.#value) : this.#value
  }

  /** Sets its instants, at first and after the lifetimes were changed. */
  plan({ ttl, staleFor, grace, negativeTtl }: Lifetimes): this {
    const length = (this.isAbsent ? negativeTtl : ttl) * this.#jitter
    this.freshUntil = this.loadedAt + length
    // An absent value is not used beyond its ttl, because it may just have been created.
    this.staleUntil = this.freshUntil + (this.isAbsent ? 0 : staleFor)
    this.graceUntil = this.freshUntil + (this.isAbsent ? 0 : Math.max(staleFor, grace))
    this.quietUntil = this.isAbsent ? this.freshUntil : this.freshUntil - EARLIEST_REFRESH * this.loadTook
    return this
  }

  /**
   * Whether this hit reloads a value that is still fresh. It is likelier the nearer its end, the
   * longer its load takes, and so the more often it is read. XFetch with beta 1, after A. Vattani,
   * F. Chierichetti and K. Lowenstein, "Optimal Probabilistic Cache Stampede Prevention" (VLDB
   * 2015).
   *
   * @param random from 0 up to 1
   */
  wantsRefresh(now: number, random: number): boolean {
    return !this.isAbsent && now - this.loadTook * Math.log(1 - random) >= this.freshUntil
  }
}

/** Memory of an entry without its value. */
const ENTRY_BYTES = 200

/** The first tier: the most recently used entries, bounded in number and bytes. */
export class MemoryTier {
  readonly #entries: LRUCache<string, CacheEntry>
  readonly #keysOfTag = new Map<string, Set<string>>()

  constructor({
    items,
    bytes,
    hasTags,
  }: { readonly items: number; readonly bytes: number; readonly hasTags: boolean }) {
    this.#entries = new LRUCache<string, CacheEntry>({
      max: items,
      maxSize: bytes,
      ...(hasTags ? { dispose: (entry: CacheEntry, key: string) => this.#untag(key, entry) } : {}),
    })
  }

  get items(): number {
    return this.#entries.size
  }

  get bytes(): number {
    return this.#entries.calculatedSize
  }

  get(key: string): CacheEntry | undefined {
    return this.#entries.get(key)
  }

  /** Reads an entry without counting it as used. */
  peek(key: string): CacheEntry | undefined {
    return this.#entries.peek(key)
  }

  /** Does not keep an entry that is larger than the whole tier. */
  set(key: string, entry: CacheEntry): void {
    this.#entries.set(key, entry, { size: ENTRY_BYTES + key.length * 2 + entry.bytes })
    if (entry.tags.length === 0 || this.#entries.peek(key) !== entry) return
    for (const tag of entry.tags) {
      let keys = this.#keysOfTag.get(tag)
      if (keys === undefined) {
        keys = new Set()
        this.#keysOfTag.set(tag, keys)
      }
      keys.add(key)
    }
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  deleteTag(tag: string): void {
    // A copy, because each deletion removes its key from the set.
    for (const key of [...(this.#keysOfTag.get(tag) ?? [])]) this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }

  plan(lifetimes: Lifetimes): void {
    for (const entry of this.#entries.values()) entry.plan(lifetimes)
  }

  #untag(key: string, entry: CacheEntry): void {
    for (const tag of entry.tags) {
      const keys = this.#keysOfTag.get(tag)
      keys?.delete(key)
      if (keys?.size === 0) this.#keysOfTag.delete(tag)
    }
  }
}

/** A load that failed, and has not succeeded since. */
export interface LoadFailure {
  readonly error: unknown
  /** Failures in a row. */
  readonly times: number
  /** The next load is not started before, in milliseconds of the monotonic clock. */
  readonly until: number
}

const MAX_FAILURES = 10_000
/** Milliseconds. */
const MAX_BACK_OFF = 10_000

/** Keys whose last load failed, with a back-off that doubles with each failure. */
export class LoadFailures {
  readonly #byKey = new LRUCache<string, LoadFailure>({ max: MAX_FAILURES })
  readonly #base: number
  readonly #random: () => number

  /**
   * @param base the first back-off is between half of this and this, in milliseconds; 0 for none
   */
  constructor(base: number, random: () => number) {
    this.#base = base
    this.#random = random
  }

  of(key: string): LoadFailure | undefined {
    return this.#byKey.size === 0 ? undefined : this.#byKey.get(key)
  }

  add(key: string, error: unknown, now: number): void {
    const times = (this.of(key)?.times ?? 0) + 1
    const most = Math.max(this.#base, MAX_BACK_OFF)
    // Half of it is fixed, so that callers that follow at once get the error.
    const half = Math.min(most, this.#base * 2 ** Math.min(times - 1, 30)) / 2
    const delay = half + this.#random() * half
    this.#byKey.set(key, { error, times, until: now + delay })
  }

  remove(key: string): void {
    if (this.#byKey.size > 0) this.#byKey.delete(key)
  }

  clear(): void {
    this.#byKey.clear()
  }
}
