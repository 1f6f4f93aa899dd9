import { crc32 } from 'node:zlib'
import { recordCrc } from './record-crc.ts'
import type { SplitId } from './spool-interface.ts'

/**
 * How a segment file is laid out (docs/reference/spool-format.md). All numbers are little endian.
 *
 * ```
 * header   magic 8 | version u16 | length of text u16 | crc u32 | text (JSON)
 * record   crc u32 | length of body u32 | check u16 of the length | kind u8 | 0 u8 | body
 * ```
 * Whatever changes here needs another version.
 */
const VERSION = 1
const MAGIC = Buffer.from('PUNCTSPL', 'latin1')
const HEADER_FIXED = 16
const LONGEST_HEADER_TEXT = 4_096
export const LONGEST_HEADER: number = HEADER_FIXED + LONGEST_HEADER_TEXT

export const RECORD_HEAD = 12
export const ID_LENGTH = 26
/** Of an id: what many have in common that follow each other, as those of one millisecond do. */
const HEAD_LENGTH = 24
/** Bytes of an item on disk beyond its JSON. */
export const ITEM_OVERHEAD: number = RECORD_HEAD + ID_LENGTH
/** No record has a longer body: what claims to is damaged. */
const LONGEST_BODY = 64 * 1024 * 1024
/** Ranges in one record of settled items. */
const MOST_RANGES = 4_096

export const ITEM = 1
export const SETTLED = 2

export interface SegmentHeader {
  readonly queue: string
  readonly owner: string
  /** ISO 8601. */
  readonly created: string
}

export function encodeHeader(header: SegmentHeader): Buffer {
  const text = Buffer.from(JSON.stringify(header))
  const bytes = Buffer.alloc(HEADER_FIXED + text.length)
  MAGIC.copy(bytes)
  bytes.writeUInt16LE(VERSION, 8)
  bytes.writeUInt16LE(text.length, 10)
  text.copy(bytes, HEADER_FIXED)
  bytes.writeUInt32LE(headerCrc(bytes, text.length), 12)
  return bytes
}

export type HeaderFound =
  | { readonly found: 'header'; readonly length: number }
  /** Nothing was ever written behind it: its writer died while it made the file. */
  | { readonly found: 'unfinished' }
  | { readonly found: 'other-version'; readonly version: number }
  | { readonly found: 'damage' }

/** @param start the first `LONGEST_HEADER` bytes of the file, or all if it is shorter */
export function readHeader(start: Buffer): HeaderFound {
  if (start.every((byte) => byte === 0)) return { found: 'unfinished' }
  const magic = start.subarray(0, MAGIC.length)
  if (!magic.equals(MAGIC.subarray(0, magic.length))) return { found: 'damage' }
  if (start.length < HEADER_FIXED) return { found: 'unfinished' }
  const version = start.readUInt16LE(8)
  if (version !== VERSION) return { found: 'other-version', version }
  const textLength = start.readUInt16LE(10)
  if (textLength > LONGEST_HEADER_TEXT) return { found: 'damage' }
  const length = HEADER_FIXED + textLength
  // A writer that died here is rare; a length that is damaged would hide what stands behind it.
  if (start.length < length || start.readUInt32LE(12) !== headerCrc(start, textLength)) return { found: 'damage' }
  return { found: 'header', length }
}

function headerCrc(bytes: Buffer, textLength: number): number {
  return crc32(bytes.subarray(HEADER_FIXED, HEADER_FIXED + textLength), crc32(bytes.subarray(8, 12)))
}

/** What a record's head says of the bytes behind it. */
export interface RecordHead {
  readonly crc: number
  readonly kind: number
  /** Of the whole record. */
  readonly length: number
}

/** Null if it is no head, also when there are too few bytes for one. */
export function readHead(bytes: Buffer): RecordHead | null {
  if (bytes.length < RECORD_HEAD) return null
  const body = bytes.readUInt32LE(4)
  // Checked by itself, so that a length that is damaged can be told from a record whose end was never written.
  if (bytes.readUInt16LE(8) !== lengthCheck(body) || body > LONGEST_BODY) return null
  return { crc: bytes.readUInt32LE(0), kind: bytes.readUInt8(10), length: RECORD_HEAD + body }
}

/** Whether the record is as it was written: all of it is there, its checksum is right, and its body has the form of its kind. */
export function isWhole(record: Buffer, { crc, kind, length }: RecordHead): boolean {
  if (record.length < length || crc32(record.subarray(4, length)) !== crc) return false
  if (kind === ITEM) return length >= ITEM_OVERHEAD
  return kind === SETTLED && (length - RECORD_HEAD) % 8 === 0
}

function lengthCheck(length: number): number {
  // Fibonacci hashing (Knuth, TAOCP 3, 6.4), so that neighbouring lengths differ in many bits; never 0 for a length of 0, as a hole in a file would have it.
  return ((Math.imul(length, 0x9e3779b1) >>> 16) ^ 0x5a5a) & 0xffff
}

/** `head` and `tail` put together are the id again. */
export function splitId(id: string): SplitId {
  return { head: id.slice(0, HEAD_LENGTH), tail: id.slice(HEAD_LENGTH) }
}

/** Larger buffers are given up after use. */
const KEPT = 64 * 1024

/** Writes records into a buffer that is used again and again: nothing may be kept of `bytes` beyond the next call. */
export class RecordBuffer {
  bytes: Buffer<ArrayBuffer> = Buffer.allocUnsafeSlow(KEPT)
  #view = new DataView(this.bytes.buffer)
  /** Of the id that stands in `bytes`; empty when none does. */
  #head = ''

  /** The length of the record in `bytes`; 0 when the item is too large or its id is none. */
  item(id: string | SplitId, json: string): number {
    const { head, tail } = typeof id === 'string' ? splitId(id) : id
    if (head.length !== HEAD_LENGTH || tail.length !== ID_LENGTH - HEAD_LENGTH) return 0
    // No character takes more than three bytes.
    let room = ITEM_OVERHEAD + json.length * 3
    if (room > KEPT) room = ITEM_OVERHEAD + Buffer.byteLength(json)
    if (room > RECORD_HEAD + LONGEST_BODY) return 0
    this.#make(room)
    if (head !== this.#head) {
      this.bytes.write(head, RECORD_HEAD, 'latin1')
      this.#head = head
    }
    this.#view.setUint16(RECORD_HEAD + HEAD_LENGTH, tail.charCodeAt(0) | (tail.charCodeAt(1) << 8), true)
    const written = this.bytes.write(json, ITEM_OVERHEAD, 'utf8')
    return this.#finish(ITEM, ITEM_OVERHEAD + written)
  }

  /** Says that items of the same file are settled. `ranges` are pairs of an index and a count; takes pairs from `from` on, as many as one record may have. */
  settled(ranges: readonly number[], from: number): { readonly length: number; readonly next: number } {
    const next = Math.min(ranges.length, from + MOST_RANGES * 2)
    this.#make(RECORD_HEAD + (next - from) * 4)
    this.#head = ''
    let at = RECORD_HEAD
    for (let index = from; index < next; index++) {
      this.#view.setUint32(at, ranges[index] as number, true)
      at += 4
    }
    return { length: this.#finish(SETTLED, at), next }
  }

  #make(length: number): void {
    const size = Math.max(length, KEPT)
    if (this.bytes.length === size) return
    this.bytes = Buffer.allocUnsafeSlow(size)
    this.#view = new DataView(this.bytes.buffer)
    this.#head = ''
  }

  #finish(kind: number, length: number): number {
    const view = this.#view
    const body = length - RECORD_HEAD
    view.setUint32(4, body, true)
    view.setUint16(8, lengthCheck(body), true)
    view.setUint16(10, kind, true)
    view.setUint32(0, recordCrc(this.bytes, view, 4, length), true)
    return length
  }
}
