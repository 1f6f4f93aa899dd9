import { close, fdatasync, fsync, ftruncate, open, read, readSync, write } from 'node:fs'
import { promisify } from 'node:util'
import { SerialQueue } from '../../resilience/serial-queue.ts'

const fileQueue = new SerialQueue()
const syncQueue = new SerialQueue()

/**
 * Runs what the spools of this process do to files in the background, one after the other.
 * Otherwise a disk that hangs would take all threads of libuv's pool, and with them DNS lookups and
 * everything else that needs one. Work in the queue must not wait for the queue.
 */
export function inFileQueue<Result>(work: () => Promise<Result>): Promise<Result> {
  return fileQueue.run(work)
}

/** The same for syncs: they may be slow, and the next segment must not wait for them. */
export function inSyncQueue<Result>(work: () => Promise<Result>): Promise<Result> {
  return syncQueue.run(work)
}

// Asynchronous functions for descriptors: a `FileHandle` is closed when it is garbage-collected,
// and gives its descriptor to nothing that outlives it.
export const openFile: (path: string, flags: number, mode?: number) => Promise<number> = promisify(open)
export const closeFile: (fd: number) => Promise<void> = promisify(close)
export const truncateFile: (fd: number, size: number) => Promise<void> = promisify(ftruncate)
export const dataSyncFile: (fd: number) => Promise<void> = promisify(fdatasync)
export const syncFile: (fd: number) => Promise<void> = promisify(fsync)

const readOnce = promisify(read)
const writeOnce = promisify(write)

/** Reads `length` bytes; fewer only at the end of the file. */
export async function readFileAt(fd: number, length: number, position: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await readOnce(fd, buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

/** Writes all bytes at the current position. */
export async function writeFile(fd: number, bytes: Buffer): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    written += (await writeOnce(fd, bytes, written, bytes.length - written, null)).bytesWritten
  }
}

/** A request for a part of a file. The answer is shorter at the end, or if it is unreadable. */
export interface ReadRequest {
  readonly fd: number
  readonly position: number
  readonly length: number
}

/** A reader that yields its requests: the same code runs synchronously and in the background. */
export type ReadSteps<Result> = Generator<ReadRequest, Result, Buffer>

/** Runs a reader synchronously. What cannot be read counts as the end of the file. */
export function runStepsSync<Result>(steps: ReadSteps<Result>): Result {
  let step = steps.next()
  while (step.done !== true) step = steps.next(readSyncAt(step.value))
  return step.value
}

/** Runs a reader in the background. What cannot be read counts as the end of the file. */
export async function runSteps<Result>(steps: ReadSteps<Result>): Promise<Result> {
  let step = steps.next()
  while (step.done !== true) {
    const { fd, length, position } = step.value
    step = steps.next(await inFileQueue(() => readFileAt(fd, length, position)).catch(() => Buffer.alloc(0)))
  }
  return step.value
}

function readSyncAt({ fd, length, position }: ReadRequest): Buffer {
  const buffer = Buffer.allocUnsafe(length)
  let filled = 0
  try {
    while (filled < length) {
      const count = readSync(fd, buffer, filled, length - filled, position + filled)
      if (count === 0) break
      filled += count
    }
  } catch {
    // The reader notices that something is missing.
  }
  return buffer.subarray(0, filled)
}
