import { LRUCache } from 'lru-cache'
import type { CacheEntry, Lifetimes } from './cache-entry.ts'

/** What an entry takes besides its value. */
const ENTRY_BYTES = 200

/** The first tier: the entries used last, of this process, bounded in number and bytes, and found by their tags. */
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

  /** Without counting as a use. */
  peek(key: string): CacheEntry | undefined {
    return this.#entries.peek(key)
  }

  /** An entry larger than all the bytes there may be is not kept. */
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
    // A copy, because every deletion takes its key out of the set.
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
