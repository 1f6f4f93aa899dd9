import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WebSocketFrames } from './web-socket-frames.ts'

const HEAD = Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')
/** Its payload looks like a close frame. */
const TEXT = Buffer.from([0x81, 0x04, 0x88, 0x02, 0x03, 0xe8])
const CLOSE = Buffer.from([0x88, 0x02, 0x03, 0xe8])
const LONG = Buffer.concat([Buffer.from([0x82, 0x7e, 0x01, 0x00]), Buffer.alloc(256, 0x88)])
const LONGER = Buffer.concat([Buffer.from([0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]), Buffer.alloc(65_536, 0x88)])
const MASKED = Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x88, 0x02])

/** Its state after these bytes, written in pieces of a size. */
function after(size: number, ...parts: readonly Buffer[]): { isClosing: boolean; isBetween: boolean } {
  const frames = new WebSocketFrames()
  const bytes = Buffer.concat(parts)
  for (let at = 0; at < bytes.length; at += size) frames.wrote(bytes.subarray(at, at + size))
  const { isClosing, isBetween } = frames
  return { isClosing, isBetween }
}

describe('WebSocketFrames', () => {
  for (const size of [1, 3, 7, 1_000_000]) {
    it(`finds the close frame and the end of frames in writes of ${size} bytes`, () => {
      const open = { isClosing: false, isBetween: true }
      assert.deepEqual(after(size, HEAD), open)
      assert.deepEqual(after(size, HEAD, TEXT, LONG, LONGER, MASKED, TEXT), open)
      assert.equal(after(size, HEAD, TEXT, LONG, CLOSE).isClosing, true)
      assert.equal(after(size, HEAD, LONGER, MASKED, CLOSE, TEXT).isClosing, true)
    })

    it(`knows in writes of ${size} bytes that another frame may not follow yet`, () => {
      const within = { isClosing: false, isBetween: false }
      assert.deepEqual(after(size, HEAD.subarray(0, -1)), within)
      assert.deepEqual(after(size, HEAD, TEXT.subarray(0, 1)), within)
      assert.deepEqual(after(size, HEAD, TEXT, LONG.subarray(0, 3)), within)
      assert.deepEqual(after(size, HEAD, TEXT, LONG.subarray(0, -1)), within)
    })
  }
})
