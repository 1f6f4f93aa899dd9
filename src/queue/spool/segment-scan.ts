import {
  ID_LENGTH,
  ITEM,
  ITEM_OVERHEAD,
  isWhole,
  LONGEST_HEADER,
  RECORD_HEAD,
  readHead,
  readHeader,
  SETTLED,
} from './segment-format.ts'
import { SettledSet } from './settled-set.ts'

/** Bytes read at once; what a file claims to hold is never believed. */
const WINDOW = 256 * 1024

/** Asks for a piece of the file; whoever runs the steps answers with it; shorter at the file's end, or where it cannot be read. */
export interface Read {
  readonly fd: number
  readonly position: number
  readonly length: number
}
export type ReadSteps<Result> = Generator<Read, Result, Buffer>

export interface SegmentScan {
  /** Where the whole records end. */
  readonly end: number
  /**
   * What stands behind: nothing; `torn`: room that was never used, or a record whose writer died, to be cut; `damage`: something that has been changed since; `unfinished`: not even a header;
   * or that this is the format of another version.
   */
  readonly rest: 'nothing' | 'torn' | 'damage' | 'unfinished' | { readonly version: number }
  /** Where the items stand in the file, settled ones included. */
  readonly items: readonly number[]
  readonly settled: SettledSet
}

/** Reads a segment from end to end, without keeping any of its items. */
export function* scanSegment(fd: number, size: number): ReadSteps<SegmentScan> {
  const items: number[] = []
  const settled = new SettledSet()
  const window = new Window(fd, size)
  const start = yield* window.take(0, Math.min(size, LONGEST_HEADER))
  if (start.length < Math.min(size, LONGEST_HEADER)) return { end: 0, rest: 'damage', items, settled }
  const header = readHeader(start)
  if (header.found !== 'header') {
    const rest = header.found === 'other-version' ? { version: header.version } : header.found
    // A hole, or a header with something else behind it, is no file whose writer has died before the first item.
    if (rest === 'unfinished' && !(yield* isZero(window, 0)) && size >= LONGEST_HEADER) {
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
      // Room that was made for records, or the beginning of one that its writer had no time to finish.
      rest = (yield* isZero(window, at + RECORD_HEAD - 2)) ? 'torn' : 'damage'
      break
    }
    if (head.length > size - at) {
      rest = 'torn'
      break
    }
    const bytes = yield* window.take(at, head.length)
    if (!isWhole(bytes, head)) {
      // JSON never ends in a zero byte, nor what is settled in a count of zero.
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
  /** Of the whole record, in bytes. */
  readonly size: number
}

export interface Portion {
  readonly items: readonly ScannedItem[]
  /** The index to go on from. */
  readonly next: number
}

/** Reads items that are not settled, from an index on, until there are `most` or they have `mostBytes`; at least one if there is any. */
export function* readItems(
  fd: number,
  scan: SegmentScan,
  from: number,
  most: number,
  mostBytes: number,
): ReadSteps<Portion> {
  const items: ScannedItem[] = []
  const window = new Window(fd, scan.end)
  let bytes = 0
  let index = from
  for (; index < scan.items.length && items.length < most && bytes < mostBytes; index++) {
    if (scan.settled.has(index)) continue
    const at = scan.items[index] as number
    const head = readHead(yield* window.take(at, RECORD_HEAD))
    // It was whole when the file was scanned: somebody has changed it since.
    if (head === null) continue
    const record = yield* window.take(at, head.length)
    if (!isWhole(record, head)) continue
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

/** The piece of the file that was read last. */
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
