import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { recordCrc } from './segment-format.ts'

test('recordCrc equals zlib.crc32 for every length and offset', () => {
  const bytes = randomBytes(2_000)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let length = 0; length <= 1_000; length++) {
    const from = length % 13
    assert.equal(recordCrc(bytes, view, from, from + length), crc32(bytes.subarray(from, from + length)), `${length}`)
  }
})
