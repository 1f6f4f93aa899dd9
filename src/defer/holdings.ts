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
  /** Of all items: in memory alone. */
  inMemory = 0
  readonly #spool: Spool | null
  readonly #inheritance: Inheritance | null

  constructor(spool: Spool | null, inheritance: Inheritance | null) {
    this.#spool = spool
    this.#inheritance = inheritance
  }

  add(item: DeferredItem): void {
    this.items++
    this.bytes += item.bytes
    if (item.place === null) this.inMemory++
  }

  adopt(items: readonly DeferredItem[]): void {
    this.adoptedItems += items.length
    for (const { bytes } of items) this.adoptedBytes += bytes
  }

  /** These are delivered, dead or dropped: they must not come back. */
  settle(items: readonly DeferredItem[]): void {
    const places: Place[] = []
    let adopted: Map<Adopted, Place[]> | null = null
    for (const { bytes, place, legacy } of items) {
      if (legacy === null) {
        this.items--
        this.bytes -= bytes
        if (place === null) this.inMemory--
        else places.push(place)
      } else if (place !== null) {
        this.adoptedItems--
        this.adoptedBytes -= bytes
        adopted ??= new Map()
        const those = adopted.get(legacy)
        if (those === undefined) adopted.set(legacy, [place])
        else those.push(place)
      }
    }
    if (places.length > 0) this.#spool?.settle(places)
    if (adopted !== null) for (const [from, those] of adopted) this.#inheritance?.settle(from, those)
  }

  /**
   * Writes items down that are in memory alone, up to `most` of them.
   *
   * @returns whether there may be more to write, and the disk takes them
   */
  writeDown(items: Iterable<DeferredItem>, most: number): boolean {
    let written = 0
    for (const item of items) {
      if (item.place !== null || item.legacy !== null) continue
      if (written === most) return true
      item.place = this.#spool?.append(item.id, item.json) ?? null
      if (item.place === null) return false
      this.inMemory--
      written++
    }
    return false
  }
}
