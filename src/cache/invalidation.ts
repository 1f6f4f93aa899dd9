/** What to invalidate: keys, tags, or everything. */
export interface Invalidation {
  readonly keys: readonly string[]
  readonly tags: readonly string[]
  readonly all: boolean
}

export const INVALIDATE_ALL: Invalidation = { keys: [], tags: [], all: true }

export function invalidationOfKey(key: string): Invalidation {
  return { keys: [key], tags: [], all: false }
}

export function invalidationOfTag(tag: string): Invalidation {
  return { keys: [], tags: [tag], all: false }
}

/** Reads what another process has sent; null if it is not an invalidation. */
export function readInvalidation(value: unknown): Invalidation | null {
  if (typeof value !== 'object' || value === null) return null
  const { keys, tags, all } = value as Partial<Record<string, unknown>>
  return isStringArray(keys) && isStringArray(tags) && typeof all === 'boolean' ? { keys, tags, all } : null
}

function isStringArray(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

export interface PendingInvalidation {
  readonly invalidation: Invalidation
  /** To be called when Redis has it. */
  readonly done: () => void
}

/** Invalidations that Redis does not have yet, so that its values for them must not be used. */
export class PendingInvalidations {
  readonly #maxSize: number
  /** With the number of the latest, so that a reply to an older one does not remove it. */
  readonly #keys = new Map<string, number>()
  readonly #tags = new Map<string, number>()
  #all: number | null = null
  #last = 0

  /** @param maxSize more are replaced by one invalidation of everything */
  constructor(maxSize: number) {
    this.#maxSize = maxSize
  }

  get size(): number {
    return this.#all === null ? this.#keys.size + this.#tags.size : 1
  }

  /** Whether Redis may have an outdated value for this key, whose tags are not known here. */
  covers(key: string): boolean {
    return this.#all !== null || this.#tags.size > 0 || (this.#keys.size > 0 && this.#keys.has(key))
  }

  /**
   * @param onOverflow called when this exceeds the size, and everything will be invalidated instead
   */
  add(invalidation: Invalidation, onOverflow: () => void): PendingInvalidation {
    const number = ++this.#last
    if (invalidation.all || this.#all !== null) this.#replaceByAll(number)
    else {
      for (const key of invalidation.keys) this.#keys.set(key, number)
      for (const tag of invalidation.tags) this.#tags.set(tag, number)
      if (this.size > this.#maxSize) {
        this.#replaceByAll(number)
        onOverflow()
      }
    }
    return { invalidation, done: () => this.#done(invalidation, number) }
  }

  /**
   * The next ones to send, at most `count`, the oldest first; null if there are none.
   *
   * @param except keys that are being sent
   */
  next(count: number, except: ReadonlySet<string> = new Set()): PendingInvalidation | null {
    const until = this.#last
    const keys = this.#all === null ? firstKeys(this.#keys, count, except) : []
    const tags = this.#all === null ? firstKeys(this.#tags, count - keys.length, new Set()) : []
    const invalidation = { keys, tags, all: this.#all !== null }
    if (!invalidation.all && keys.length + tags.length === 0) return null
    return { invalidation, done: () => this.#done(invalidation, until) }
  }

  #done({ keys, tags, all }: Invalidation, until: number): void {
    if (all && this.#all !== null && this.#all <= until) this.#all = null
    removeUntil(this.#keys, keys, until)
    removeUntil(this.#tags, tags, until)
  }

  #replaceByAll(number: number): void {
    this.#all = number
    this.#keys.clear()
    this.#tags.clear()
  }
}

function firstKeys(names: ReadonlyMap<string, number>, count: number, except: ReadonlySet<string>): readonly string[] {
  const first: string[] = []
  for (const name of names.keys()) {
    if (first.length >= count) break
    if (!except.has(name)) first.push(name)
  }
  return first
}

function removeUntil(numbers: Map<string, number>, names: readonly string[], until: number): void {
  for (const name of names) {
    if ((numbers.get(name) ?? Number.POSITIVE_INFINITY) <= until) numbers.delete(name)
  }
}
