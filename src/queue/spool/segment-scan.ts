import type { ReadSteps } from './file-io.ts'
import { SettledSet } from './segment.ts'
import {
  ID_LENGTH,
  ITEM,
  ITEM_OVERHEAD,
  isIntact,
  MAX_HEADER,
  RECORD_HEAD,
  readHead,
  readHeader,
  SETTLED,
} from './segment-format.ts'

/** Bytes read at a time. A size that the file claims is never trusted. */
const WINDOW = 256 * 1024

export interface SegmentScan {
  /** Where the intact records end. */
  readonly end: number
  /**
   * What is behind them.
   *
   * - `nothing`.
   * - `torn`: preallocated zeros, or a record whose writer died; to be truncated.
   * - `damage`: something that was changed after it was written.
   * - `unfinished`: there is not even a header.
   * - The file has another version of the format.
   */
  readonly rest: 'nothing' | 'torn' | 'damage' | 'unfinished' | { readonly version: number }
  /** The positions of the items in the file, settled ones included. */
  readonly items: readonly number[]
  readonly settled: SettledSet
}

/** Reads a segment from end to end, without keeping its items. */
export function* scanSegment(fd: number, size: number): ReadSteps<SegmentScan> {
  const items: number[] = []
  const settled = new SettledSet()
  const window = new Window(fd, size)
  const start = yield* window.take(0, Math.min(size, MAX_HEADER))
  if (start.length < Math.min(size, MAX_HEADER)) return { end: 0, rest: 'damage', items, settled }
  const header = readHeader(start)
  if (header.found !== 'header') {
    const rest = header.found === 'other-version' ? { version: header.version } : header.found
    // Zeros followed by other bytes are not a file whose writer died at its creation.
    if (rest === 'unfinished' && !(yield* isZero(window, 0)) && size >= MAX_HEADER) {
      return { end: 0, rest: 'damage', items, settled }
    }
    return { end: 0, rest, items, settled }
  }
  let at = header.length
  let rest: SegmentScan['rest'] = 'nothing'
  while (at < size) {
    if (size - at < RECORD_HEAD) {
      rest = 'torn'
      break
    }
    const head = readHead(yield* window.take(at, RECORD_HEAD))
    if (head === null) {
      // Preallocated zeros, or the beginning of a record that its writer did not finish.
      rest = (yield* isZero(window, at + RECORD_HEAD - 2)) ? 'torn' : 'damage'
      break
    }
    if (head.length > size - at) {
      rest = 'torn'
      break
    }
    const bytes = yield* window.take(at, head.length)
    if (!isIntact(bytes, head)) {
      // JSON does not end in a zero byte, nor a range of settled items in a count of zero.
      const least = head.kind === ITEM ? 1 : 4
      rest = (yield* isZero(window, at + head.length - least)) ? 'torn' : 'damage'
      break
    }
    if (head.kind === ITEM) items.push(at)
    else if (head.kind === SETTLED) addRanges(settled, bytes.subarray(RECORD_HEAD, head.length), items.length)
    at += head.length
  }
  return { end: at, rest, items, settled }
}

export interface ScannedItem {
  readonly id: string
  readonly json: string
  readonly index: number
  /** Of its record. */
  readonly size: number
}

export interface Portion {
  readonly items: readonly ScannedItem[]
  /** The index to continue from. */
  readonly next: number
}

/**
 * Reads items that are not settled, from an index on, until there are `max` or they have
 * `maxBytes`; at least one if there is any.
 */
export function* readItems(
  fd: number,
  scan: SegmentScan,
  from: number,
  max: number,
  maxBytes: number,
): ReadSteps<Portion> {
  const items: ScannedItem[] = []
  const window = new Window(fd, scan.end)
  let bytes = 0
  let index = from
  for (; index < scan.items.length && items.length < max && bytes < maxBytes; index++) {
    if (scan.settled.has(index)) continue
    const at = scan.items[index] as number
    const head = readHead(yield* window.take(at, RECORD_HEAD))
    // It was intact when the file was scanned, and has been changed since.
    if (head === null) continue
    const record = yield* window.take(at, head.length)
    if (!isIntact(record, head)) continue
    items.push({
      id: record.toString('latin1', RECORD_HEAD, RECORD_HEAD + ID_LENGTH),
      json: record.toString('utf8', ITEM_OVERHEAD, head.length),
      index,
      size: head.length,
    })
    bytes += head.length
  }
  return { items, next: index }
}

function addRanges(settled: SettledSet, ranges: Buffer, count: number): void {
  for (let at = 0; at + 8 <= ranges.length; at += 8) {
    const from = ranges.readUInt32LE(at)
    const end = Math.min(from + ranges.readUInt32LE(at + 4), count)
    for (let index = from; index < end; index++) settled.add(index)
  }
}

function* isZero(window: Window, from: number): ReadSteps<boolean> {
  for (let at = from; at < window.size; at += WINDOW) {
    const wanted = Math.min(WINDOW, window.size - at)
    const bytes = yield* window.take(at, wanted)
    if (bytes.length < wanted || bytes.some((byte) => byte !== 0)) return false
  }
  return true
}

/** The part of a file that was read last. */
class Window {
  readonly #fd: number
  readonly size: number
  #at = 0
  #bytes: Buffer = Buffer.alloc(0)

  constructor(fd: number, size: number) {
    this.#fd = fd
    this.size = size
  }

  /** Exactly these bytes of the file, or fewer if it has become shorter. */
  *take(position: number, length: number): ReadSteps<Buffer> {
    if (position < this.#at || position + length > this.#at + this.#bytes.length) {
      this.#bytes = yield { fd: this.#fd, position, length: Math.max(length, Math.min(WINDOW, this.size - position)) }
      this.#at = position
    }
    const start = position - this.#at
    return this.#bytes.subarray(start, start + length)
  }
}
