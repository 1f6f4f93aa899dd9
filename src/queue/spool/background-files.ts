import { close, fdatasync, fsync, ftruncate, open, read, write } from 'node:fs'
import { promisify } from 'node:util'

/** Files by descriptor, in the background: a `FileHandle` would be closed when it is collected, and its descriptor cannot be kept. */
export const openLater: (path: string, flags: number, mode?: number) => Promise<number> = promisify(open)
export const closeLater: (fd: number) => Promise<void> = promisify(close)
export const truncateLater: (fd: number, size: number) => Promise<void> = promisify(ftruncate)
export const dataSyncLater: (fd: number) => Promise<void> = promisify(fdatasync)
export const syncLater: (fd: number) => Promise<void> = promisify(fsync)

const readOnce = promisify(read)
const writeOnce = promisify(write)

/** Fewer bytes than asked for stand at the end of the file. */
export async function readLater(fd: number, length: number, position: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await readOnce(fd, buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

/** Writes all of it, at the end of a file that is open for appending. */
export async function writeLater(fd: number, bytes: Buffer): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    written += (await writeOnce(fd, bytes, written, bytes.length - written, null)).bytesWritten
  }
}
