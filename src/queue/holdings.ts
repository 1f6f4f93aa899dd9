import { monotonicNow } from '../resilience/clock.ts'
import type { DeferredItem } from './deferred-item.ts'
import type { Inheritance } from './inheritance.ts'
import type { Adopted } from './spool/adopt.ts'
import type { Place, Spool } from './spool/spool.ts'

/** What a queue has accepted or taken over and not finished: how much it is, and where it stands on disk. */
export class Holdings {
  /** Items of this process. */
  items = 0
  /** Their JSON. */
  bytes = 0
  adoptedItems = 0
  adoptedBytes = 0
  /** Those of this process that are in memory alone, the oldest first; null where all of them are, always. */
  readonly #unwritten: Set<DeferredItem> | null
  /** How far they are written down. */
  #writing: Iterator<DeferredItem> | null = null
  readonly #spool: Spool | null
  readonly #inheritance: Inheritance | null

  constructor(spool: Spool | null, inheritance: Inheritance | null) {
    this.#spool = spool
    this.#unwritten = spool === null ? null : new Set()
    this.#inheritance = inheritance
  }

  /** How many items are in memory alone. */
  get inMemory(): number {
    return this.#unwritten?.size ?? this.items
  }

  add(item: DeferredItem): void {
    this.items++
    this.bytes += item.bytes
    if (!item.isOnDisk) this.#unwritten?.add(item)
  }

  adopt(items: readonly DeferredItem[]): void {
    this.adoptedItems += items.length
    for (const { bytes } of items) this.adoptedBytes += bytes
  }

  /** These are delivered, dead or dropped: they must not come back. */
  settle(items: readonly DeferredItem[]): void {
    const places: Place[] = []
    let adopted: Map<Adopted, Place[]> | null = null
    for (const item of items) {
      const { bytes, legacy } = item
      if (legacy === null) {
        this.items--
        this.bytes -= bytes
        if (item.isOnDisk) places.push(item)
        else this.#unwritten?.delete(item)
      } else if (item.isOnDisk) {
        this.adoptedItems--
        this.adoptedBytes -= bytes
        adopted ??= new Map()
        const those = adopted.get(legacy)
        if (those === undefined) adopted.set(legacy, [item])
        else those.push(item)
      }
    }
    if (places.length > 0) this.#spool?.settle(places)
    if (adopted !== null) for (const [from, those] of adopted) this.#inheritance?.settle(from, those)
  }

  /**
   * Writes items down that are in memory alone, the next `most` of them.
   *
   * @returns whether there may be more to write, and the disk takes them
   */
  writeDown(most: number): boolean {
    if (this.#unwritten === null || this.#spool === null) return false
    this.#writing ??= this.#unwritten.values()
    for (let tried = 0; tried < most; tried++) {
      const next = this.#writing.next()
      const item = next.done === true ? null : next.value
      if (item !== null) this.#spool.append(item, item.json, monotonicNow(), item)
      if (item?.isOnDisk) this.#unwritten.delete(item)
      // One that is too large for the disk is passed over.
      else if (item === null || this.#spool.state.state === 'degraded') {
        this.#writing = null
        return false
      }
    }
    return true
  }
}
