import { closeSync, fstatSync, ftruncateSync, writeSync } from 'node:fs'
import { ITEM_OVERHEAD, type RecordBuffer } from './segment-format.ts'

/** Where an item is on disk: valid for `settle` of the spool or reader it came from. */
export interface Place {
  readonly segment: number
  readonly index: number
  /** Size of its record. */
  readonly size: number
}

/** A place that `append` fills in. An item can be its own slot, which saves an object for each. */
export interface PlaceSlot {
  segment: number
  index: number
  size: number
}

/** An open segment file, and the state of its items. Writing throws file system errors. */
export class Segment {
  readonly number: number
  readonly path: string
  fd: number
  /** Of its complete records, header included. */
  size: number
  /** Items written to it. */
  count = 0
  /** Items that are not settled. */
  live = 0
  /** Size of their JSON. */
  livePayload = 0
  readonly #settled: SettledSet
  /** There may be an incomplete record behind `size`. Anything written after it would be lost. */
  #torn = false
  /** Settled ranges that are not written yet: index and count in turn. */
  #unwritten: number[] = []

  /** @param settled the settled items of a file that was read */
  constructor(number: number, path: string, fd: number, size: number, settled: SettledSet = new SettledSet()) {
    this.number = number
    this.#settled = settled
    this.path = path
    this.fd = fd
    this.size = size
  }

  append(record: RecordBuffer, length: number, into: PlaceSlot): Place {
    this.#write(record, length)
    this.live++
    this.livePayload += length - ITEM_OVERHEAD
    into.segment = this.number
    into.index = this.count++
    into.size = length
    return into
  }

  /** False if it was settled before. `writeSettled` writes what is settled to the file. */
  settle(place: Place): boolean {
    const { index } = place
    if (index >= this.count || !this.#settled.add(index)) return false
    this.live--
    this.livePayload -= payloadOf(place)
    const unwritten = this.#unwritten
    const last = unwritten.length - 2
    if (last >= 0 && (unwritten[last] as number) + (unwritten[last + 1] as number) === index) {
      ;(unwritten[last + 1] as number)++
    } else unwritten.push(index, 1)
    return true
  }

  get hasUnwritten(): boolean {
    return this.#unwritten.length > 0
  }

  writeSettled(record: RecordBuffer): void {
    let from = 0
    try {
      while (from < this.#unwritten.length) {
        const { length, next } = record.settled(this.#unwritten, from)
        this.#write(record, length)
        from = next
      }
    } finally {
      this.#unwritten = this.#unwritten.slice(from)
    }
  }

  /** Whether this is the file that was found at its path. */
  is(found: { readonly ino: bigint; readonly dev: bigint }): boolean {
    const own = fstatSync(this.fd, { bigint: true })
    return own.ino === found.ino && own.dev === found.dev
  }

  /** Continues in another file that has the same complete records. */
  moveTo(fd: number): void {
    this.close()
    this.fd = fd
    this.#torn = false
  }

  close(): void {
    if (this.fd === -1) return
    const fd = this.fd
    this.fd = -1
    try {
      closeSync(fd)
    } catch {
      // Some file systems report a failed write only here. The descriptor is closed in any case.
    }
  }

  #write(record: RecordBuffer, length: number): void {
    if (this.#torn) this.#truncate()
    let written = 0
    try {
      // After a short write, writing the rest gives the error that explains it (POSIX write).
      while (written < length) {
        // By position, not by appending: there may be preallocated zeros behind the records.
        written += writeSync(this.fd, record.bytes, written, length - written, this.size + written)
      }
    } catch (error) {
      this.#torn = true
      try {
        this.#truncate()
      } catch {
        // Tried again before the next write.
      }
      throw error
    }
    this.size += length
  }

  #truncate(): void {
    ftruncateSync(this.fd, this.size)
    this.#torn = false
  }
}

/** The size of an item's JSON. */
export function payloadOf(place: Place): number {
  return place.size - ITEM_OVERHEAD
}

/** Which items of a segment are settled: one bit for each index. */
export class SettledSet {
  #bits = new Uint8Array(64)

  has(index: number): boolean {
    return ((this.#bits[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0
  }

  /** False if it was in the set already. */
  add(index: number): boolean {
    const byte = index >>> 3
    if (byte >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(this.#bits.length * 2, byte + 1))
      larger.set(this.#bits)
      this.#bits = larger
    }
    const bit = 1 << (index & 7)
    const before = this.#bits[byte] as number
    this.#bits[byte] = before | bit
    return (before & bit) === 0
  }
}
