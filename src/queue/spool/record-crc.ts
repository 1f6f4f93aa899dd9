import { crc32 } from 'node:zlib'

/** Up to so many bytes the tables below are quicker; beyond, the call into zlib is worth it. */
const SHORT = 320

/** Eight tables of 256, one after the other: what a byte does to the checksum when up to seven more follow it. */
const TABLES: Int32Array = makeTables()

/**
 * The CRC-32 of a part of a buffer: that of `zlib.crc32`. A short record would spend most of the time in the call; for it there is slicing-by-8 (M. Kounavis,
 * F. Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation", 2008).
 *
 * @param view of the same bytes
 */
export function recordCrc(bytes: Buffer, view: DataView, from: number, to: number): number {
  if (to - from > SHORT) return crc32(bytes.subarray(from, to))
  let crc = -1
  let at = from
  for (; at + 8 <= to; at += 8) {
    const low = crc ^ view.getInt32(at, true)
    const high = view.getInt32(at + 4, true)
    crc =
      entry(1792 | (low & 255)) ^
      entry(1536 | ((low >>> 8) & 255)) ^
      entry(1280 | ((low >>> 16) & 255)) ^
      entry(1024 | (low >>> 24)) ^
      entry(768 | (high & 255)) ^
      entry(512 | ((high >>> 8) & 255)) ^
      entry(256 | ((high >>> 16) & 255)) ^
      entry(high >>> 24)
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ entry((crc ^ view.getUint8(at)) & 255)
  return ~crc >>> 0
}

function entry(index: number): number {
  return TABLES[index] as number
}

function makeTables(): Int32Array {
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
