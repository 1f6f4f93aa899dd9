const CLOSE = 8
const END_OF_HEAD = '\r\n\r\n'

/**
 * Follows the frames that a server writes to a WebSocket (RFC 6455, 5.2), from its response on:
 * whether it has said that it closes it, and whether it is within a frame. Nothing may follow a
 * close frame (5.5.1), and another frame only the end of one.
 */
export class WebSocketFrames {
  /** A close frame was begun. */
  isClosing = false
  /** The response has not been written. */
  #isHead = true
  /** Bytes of a head or of the header of a frame that is not complete. */
  #rest: Buffer | null = null
  /** Bytes of the payload that are still to come. */
  #payload = 0

  /** Whether a frame may follow. */
  get isBetween(): boolean {
    return !this.#isHead && this.#payload === 0 && this.#rest === null
  }

  wrote(chunk: Uint8Array): void {
    if (this.isClosing) return
    if (!this.#isHead && chunk.length <= this.#payload) {
      this.#payload -= chunk.length
      return
    }
    let bytes =
      this.#rest === null
        ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
        : Buffer.concat([this.#rest, chunk])
    this.#rest = null
    if (this.#isHead) {
      const end = bytes.indexOf(END_OF_HEAD)
      if (end < 0) {
        this.#rest = bytes
        return
      }
      this.#isHead = false
      bytes = bytes.subarray(end + END_OF_HEAD.length)
    }
    let at = this.#payload
    this.#payload = 0
    while (at < bytes.length) {
      const length = frameLength(bytes, at)
      if (length < 0) {
        this.#rest = bytes.subarray(at)
        return
      }
      if (((bytes[at] as number) & 0x0f) === CLOSE) {
        this.isClosing = true
        return
      }
      at += length
    }
    this.#payload = at - bytes.length
  }
}

/** Length of the frame that begins there, with its header; -1 if the header is not complete. */
function frameLength(bytes: Buffer, at: number): number {
  const left = bytes.length - at
  if (left < 2) return -1
  const second = bytes[at + 1] as number
  const mask = second < 0x80 ? 0 : 4
  const length = second & 0x7f
  if (length < 126) return 2 + mask + length
  if (length === 126) return left < 4 ? -1 : 4 + mask + bytes.readUInt16BE(at + 2)
  return left < 10 ? -1 : 10 + mask + Number(bytes.readBigUInt64BE(at + 2))
}
