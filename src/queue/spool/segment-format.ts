import { crc32 } from 'node:zlib'

/** An id in two parts. The first is usually the same as before, and need not be written again. */
export interface SplitId {
  /** 24 characters. */
  readonly head: string
  /** 2 characters. */
  readonly tail: string
}

/**
 * The layout of a segment file (docs/reference/spool-format.md). All numbers are little-endian.
 *
 * ```
 * header   magic 8 | version u16 | length of text u16 | crc u32 | text (JSON)
 * record   crc u32 | length of body u32 | check u16 of the length | kind u8 | 0 u8 | body
 * ```
 * Any change to it needs another version.
 */
const VERSION = 1
const MAGIC = Buffer.from('PUNCTSPL', 'latin1')
const FIXED_HEADER = 16
const MAX_HEADER_TEXT = 4_096
export const MAX_HEADER: number = FIXED_HEADER + MAX_HEADER_TEXT

export const RECORD_HEAD = 12
export const ID_LENGTH = 26
/** The part of an id that ids of the same millisecond have in common. */
const ID_HEAD_LENGTH = 24
/** Bytes of an item on disk beyond its JSON. */
export const ITEM_OVERHEAD: number = RECORD_HEAD + ID_LENGTH
/** A record that claims a longer body is damaged. */
const MAX_BODY = 64 * 1024 * 1024
/** Ranges in one record of settled items. */
const MAX_RANGES = 4_096

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
  const bytes = Buffer.alloc(FIXED_HEADER + text.length)
  MAGIC.copy(bytes)
  bytes.writeUInt16LE(VERSION, 8)
  bytes.writeUInt16LE(text.length, 10)
  text.copy(bytes, FIXED_HEADER)
  bytes.writeUInt32LE(headerCrc(bytes, text.length), 12)
  return bytes
}

export type HeaderFound =
  | { readonly found: 'header'; readonly length: number }
  /** Nothing was written after it: the writer died while it created the file. */
  | { readonly found: 'unfinished' }
  | { readonly found: 'other-version'; readonly version: number }
  | { readonly found: 'damage' }

/** @param start the first `MAX_HEADER` bytes of the file, or all if it is shorter */
export function readHeader(start: Buffer): HeaderFound {
  if (start.every((byte) => byte === 0)) return { found: 'unfinished' }
  const magic = start.subarray(0, MAGIC.length)
  if (!magic.equals(MAGIC.subarray(0, magic.length))) return { found: 'damage' }
  if (start.length < FIXED_HEADER) return { found: 'unfinished' }
  const version = start.readUInt16LE(8)
  if (version !== VERSION) return { found: 'other-version', version }
  const textLength = start.readUInt16LE(10)
  if (textLength > MAX_HEADER_TEXT) return { found: 'damage' }
  const length = FIXED_HEADER + textLength
  // A writer seldom dies at this point, and a damaged length would hide the records behind it.
  if (start.length < length || start.readUInt32LE(12) !== headerCrc(start, textLength)) return { found: 'damage' }
  return { found: 'header', length }
}

function headerCrc(bytes: Buffer, textLength: number): number {
  return crc32(bytes.subarray(FIXED_HEADER, FIXED_HEADER + textLength), crc32(bytes.subarray(8, 12)))
}

/** What the head of a record says about the bytes behind it. */
export interface RecordHead {
  readonly crc: number
  readonly kind: number
  /** Of the whole record. */
  readonly length: number
}

/** Null when the bytes are not the head of a record, or too few. */
export function readHead(bytes: Buffer): RecordHead | null {
  if (bytes.length < RECORD_HEAD) return null
  const body = bytes.readUInt32LE(4)
  // Checked separately, to tell a damaged length from a record whose end was never written.
  if (bytes.readUInt16LE(8) !== lengthCheck(body) || body > MAX_BODY) return null
  return { crc: bytes.readUInt32LE(0), kind: bytes.readUInt8(10), length: RECORD_HEAD + body }
}

/** Whether a record is complete, with the right checksum and a body of its kind. */
export function isIntact(record: Buffer, { crc, kind, length }: RecordHead): boolean {
  if (record.length < length || crc32(record.subarray(4, length)) !== crc) return false
  if (kind === ITEM) return length >= ITEM_OVERHEAD
  return kind === SETTLED && (length - RECORD_HEAD) % 8 === 0
}

function lengthCheck(length: number): number {
  // Fibonacci hashing (Knuth, TAOCP 3, 6.4), so that neighbouring lengths differ in many bits. Not
  // 0 for a length of 0, as it would be in a hole of the file.
  return ((Math.imul(length, 0x9e3779b1) >>> 16) ^ 0x5a5a) & 0xffff
}

export function splitId(id: string): SplitId {
  return { head: id.slice(0, ID_HEAD_LENGTH), tail: id.slice(ID_HEAD_LENGTH) }
}

/** Larger buffers are released after use. */
const KEPT_SIZE = 64 * 1024

/** Encodes records into a buffer that is reused: `bytes` is valid until the next call. */
export class RecordBuffer {
  bytes: Buffer<ArrayBuffer> = Buffer.allocUnsafeSlow(KEPT_SIZE)
  #view = new DataView(this.bytes.buffer)
  /** Of the id that is in `bytes`; empty when there is none. */
  #head = ''

  /** Encodes an item. Returns the record's length; 0 if the item is too large or its id invalid. */
  item(id: string | SplitId, json: string): number {
    const { head, tail } = typeof id === 'string' ? splitId(id) : id
    if (head.length !== ID_HEAD_LENGTH || tail.length !== ID_LENGTH - ID_HEAD_LENGTH) return 0
    // No character takes more than three bytes.
    let size = ITEM_OVERHEAD + json.length * 3
    if (size > KEPT_SIZE) size = ITEM_OVERHEAD + Buffer.byteLength(json)
    if (size > RECORD_HEAD + MAX_BODY) return 0
    this.#allocate(size)
    if (head !== this.#head) {
      this.bytes.write(head, RECORD_HEAD, 'latin1')
      this.#head = head
    }
    this.#view.setUint16(RECORD_HEAD + ID_HEAD_LENGTH, tail.charCodeAt(0) | (tail.charCodeAt(1) << 8), true)
    const written = this.bytes.write(json, ITEM_OVERHEAD, 'utf8')
    return this.#finish(ITEM, ITEM_OVERHEAD + written)
  }

  /**
   * Encodes that items of the same file are settled.
   *
   * @param ranges pairs of an index and a count
   * @param from the pair to start with; one record has a limited number of them
   */
  settled(ranges: readonly number[], from: number): { readonly length: number; readonly next: number } {
    const next = Math.min(ranges.length, from + MAX_RANGES * 2)
    this.#allocate(RECORD_HEAD + (next - from) * 4)
    this.#head = ''
    let at = RECORD_HEAD
    for (let index = from; index < next; index++) {
      this.#view.setUint32(at, ranges[index] as number, true)
      at += 4
    }
    return { length: this.#finish(SETTLED, at), next }
  }

  #allocate(length: number): void {
    const size = Math.max(length, KEPT_SIZE)
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

/**
 * Up to so many bytes the tables below are faster than zlib, with which the median append takes
 * 13 % longer (`bench/queue/spool-loop.ts`, 200 bytes).
 */
const TABLES_UP_TO = 320

/** Eight tables of 256 entries: the effect of a byte when 0 to 7 more follow. */
const CRC_TABLES: Int32Array = makeCrcTables()

/**
 * The CRC-32 of a part of a buffer, equal to `zlib.crc32`. For a short record most of the time
 * would be spent in the call, so it uses slicing-by-8 (M. Kounavis, F. Berry, "Novel Table
 * Lookup-Based Algorithms for High-Performance CRC Generation", 2008).
 *
 * @param view of the same bytes
 */
export function recordCrc(bytes: Buffer, view: DataView, from: number, to: number): number {
  if (to - from > TABLES_UP_TO) return crc32(bytes.subarray(from, to))
  let crc = -1
  let at = from
  for (; at + 8 <= to; at += 8) {
    const low = crc ^ view.getInt32(at, true)
    const high = view.getInt32(at + 4, true)
    crc =
      crcEntry(1792 | (low & 255)) ^
      crcEntry(1536 | ((low >>> 8) & 255)) ^
      crcEntry(1280 | ((low >>> 16) & 255)) ^
      crcEntry(1024 | (low >>> 24)) ^
      crcEntry(768 | (high & 255)) ^
      crcEntry(512 | ((high >>> 8) & 255)) ^
      crcEntry(256 | ((high >>> 16) & 255)) ^
      crcEntry(high >>> 24)
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ crcEntry((crc ^ view.getUint8(at)) & 255)
  return ~crc >>> 0
}

function crcEntry(index: number): number {
  return CRC_TABLES[index] as number
}

function makeCrcTables(): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    // The polynomial of Ethernet and zip, its bits reversed.
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
    tables[byte] = crc
  }
  for (let index = 256; index < tables.length; index++) {
    const shorter = tables[index - 256] as number
    tables[index] = (shorter >>> 8) ^ (tables[shorter & 255] as number)
  }
  return tables
}
