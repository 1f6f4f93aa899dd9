import { closeSync, fstatSync, ftruncateSync, writeSync } from 'node:fs'
import { ITEM_OVERHEAD, type RecordBuffer } from './segment-format.ts'
import { SettledSet } from './settled-set.ts'
import type { OwnPlace, Place } from './spool-interface.ts'

/** A segment file that is open, with what is known of its items. Its methods that write throw what the file system does. */
export class Segment {
  readonly number: number
  readonly path: string
  fd: number
  /** Of the whole records in it, header included. */
  size: number
  /** Items written to it. */
  count = 0
  /** Items that are not settled. */
  live = 0
  /** Bytes of their JSON. */
  livePayload = 0
  readonly #settled: SettledSet
  /** Something may stand behind `size` that is no whole record. Whatever was written after it would be lost. */
  #torn = false
  /** Ranges that are settled and not yet written: index and count in turn. */
  #unwritten: number[] = []

  /** @param settled what is known to be settled in a file that was read */
  constructor(number: number, path: string, fd: number, size: number, settled: SettledSet = new SettledSet()) {
    this.number = number
    this.#settled = settled
    this.path = path
    this.fd = fd
    this.size = size
  }

  append(record: RecordBuffer, length: number, into: OwnPlace): Place {
    this.#write(record, length)
    this.live++
    this.livePayload += length - ITEM_OVERHEAD
    into.segment = this.number
    into.index = this.count++
    into.size = length
    return into
  }

  /** Returns true if it was not settled before. What is settled is written with `writeSettled`. */
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

  /** The same content in another file, of whole records only. */
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
      // Some file systems report a failed write only here; whatever it was, the descriptor is gone.
    }
  }

  #write(record: RecordBuffer, length: number): void {
    if (this.#torn) this.#cut()
    let written = 0
    try {
      // Short writes come before the error that explains them (POSIX write): the rest is tried, to have that error.
      while (written < length) {
        // By position, not by appending: room may have been made behind what is written.
        written += writeSync(this.fd, record.bytes, written, length - written, this.size + written)
      }
    } catch (error) {
      this.#torn = true
      try {
        this.#cut()
      } catch {
        // Tried again before the next write.
      }
      throw error
    }
    this.size += length
  }

  #cut(): void {
    ftruncateSync(this.fd, this.size)
    this.#torn = false
  }
}

/** What an item of this many bytes on disk counts for: its JSON. */
export function payloadOf(place: Place): number {
  return place.size - ITEM_OVERHEAD
}
