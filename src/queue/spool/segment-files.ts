import { closeSync, constants, openSync, readdirSync, unlinkSync, writeSync } from 'node:fs'
import { rename, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { monotonicNow } from '../../resilience/clock.ts'
import { makeDirectory } from '../../system/make-directory.ts'
import { closeFile, inFileQueue, openFile, readFileAt, truncateFile, writeFile } from './file-io.ts'
import { Segment } from './segment.ts'

/** Appending, so that no writer overwrites what another wrote. */
export const REOPEN: number = constants.O_APPEND | constants.O_RDWR
/** Readable, so that a file can be restored after its name was removed. */
const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL
/** Segments contain user data. */
const FILE_MODE = 0o600
const NAME = /^(\d{8,15})\.spool$/
/** The disk must have this much space before it counts as working again. */
const PROBE_SIZE = 64 * 1024
const COPY_SIZE = 256 * 1024
/** Linux makes one folio of a write, and ext4 walks all its blocks for each later record. */
const RESERVE_SIZE = 64 * 1024
const ZEROS = Buffer.alloc(RESERVE_SIZE)

/** The number of a segment file; null for any other file. */
export function segmentNumber(name: string): number | null {
  const digits = NAME.exec(name)?.[1]
  return digits === undefined ? null : Number(digits)
}

/** The names of the segments in a directory, ordered by number; none if it cannot be read. */
export function segmentsIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => segmentNumber(name) !== null)
      .sort((one, other) => (segmentNumber(one) ?? 0) - (segmentNumber(other) ?? 0))
  } catch {
    return []
  }
}

/** Creates the segment files of one spool, with ascending numbers. Throws file system errors. */
export class SegmentFactory {
  readonly #directory: string
  readonly #header: Buffer
  readonly #reservedSize: number
  #lastNumber: number

  /**
   * @param reservedSize of a new segment, in bytes
   * @param lastNumber of the segments in the directory
   */
  constructor(directory: string, header: Buffer, reservedSize: number, lastNumber: number) {
    this.#directory = directory
    this.#header = header
    this.#reservedSize = reservedSize
    this.#lastNumber = lastNumber
  }

  /** Creates a segment synchronously, without reserving space. */
  createSync(): Segment {
    const { number, path } = this.#next()
    const header = this.#header
    const fd = openSync(path, CREATE, FILE_MODE)
    try {
      let written = 0
      while (written < header.length) written += writeSync(fd, header, written, header.length - written, null)
      return new Segment(number, path, fd, header.length)
    } catch (error) {
      closeSync(fd)
      unlinkSync(path)
      throw error
    }
  }

  /**
   * Creates a segment in the background and fills it with zeros: a push then finds the pages of the
   * file in memory, and does not wait for the kernel to make one every few records.
   */
  async createReserved(): Promise<Segment> {
    const { number, path } = this.#next()
    const header = this.#header
    const fd = await createFile(path, [header, ...zeros(header.length, this.#reservedSize)])
    return new Segment(number, path, fd, header.length)
  }

  /**
   * Creates a segment after a fault, and its directory if that is missing, to find out whether
   * there is space and how slow the disk is.
   *
   * @returns `took` in milliseconds
   */
  async probe(): Promise<{ readonly segment: Segment; readonly took: number }> {
    const begun = monotonicNow()
    await makeDirectory(this.#directory)
    const { number, path } = this.#next()
    const header = this.#header
    const fd = await createFile(path, [header, Buffer.alloc(PROBE_SIZE)])
    try {
      await truncateFile(fd, header.length)
    } catch (error) {
      await discard(fd, path)
      throw error
    }
    return { segment: new Segment(number, path, fd, header.length), took: monotonicNow() - begun }
  }

  #next(): { readonly number: number; readonly path: string } {
    const number = ++this.#lastNumber
    return { number, path: join(this.#directory, `${String(number).padStart(8, '0')}.spool`) }
  }
}

/** Zeros from one position to another, in pieces that end at page boundaries. */
function* zeros(from: number, to: number): Generator<Buffer> {
  for (let at = from, next: number; at < to; at = next) {
    next = Math.min(to, at - (at % RESERVE_SIZE) + RESERVE_SIZE)
    yield ZEROS.subarray(0, next - at)
  }
}

/**
 * Copies a segment whose name was removed to where it was: its content exists as long as its
 * descriptor.
 *
 * @returns false when the content cannot be read, as when a file server has forgotten it
 * @throws the error of the file system when the copy cannot be written
 */
export async function restoreSegment(segment: Segment): Promise<boolean> {
  const temporary = `${segment.path}.tmp`
  await unlink(temporary).catch(() => {})
  const fd = await createFile(temporary, [])
  try {
    for (let at = 0; at < segment.size; at += COPY_SIZE) {
      const piece = await readFileAt(segment.fd, Math.min(COPY_SIZE, segment.size - at), at).catch(() => null)
      if (piece === null) {
        await discard(fd, temporary)
        return false
      }
      await writeFile(fd, piece)
    }
    await rename(temporary, segment.path)
  } catch (error) {
    await discard(fd, temporary)
    throw error
  }
  segment.moveTo(fd)
  return true
}

/** An error if the file of a segment was removed or replaced; null otherwise. */
export async function goneError(segment: Segment): Promise<unknown> {
  try {
    if (segment.is(await stat(segment.path, { bigint: true }))) return null
    return Object.assign(new Error('replaced'), { code: 'ENOENT' })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? error : null
  }
}

async function createFile(path: string, content: readonly Buffer[]): Promise<number> {
  const fd = await openFile(path, CREATE, FILE_MODE)
  try {
    for (const bytes of content) await writeFile(fd, bytes)
    return fd
  } catch (error) {
    await discard(fd, path)
    throw error
  }
}

async function discard(fd: number, path: string): Promise<void> {
  await closeFile(fd).catch(() => {})
  await unlink(path).catch(() => {})
}

/** Removes files in the background. The next sweep retries those that could not be removed. */
export class FileRemover {
  readonly #paths = new Set<string>()
  #sweeping: Promise<void> | null = null

  /** How many files are not removed yet. */
  get size(): number {
    return this.#paths.size
  }

  add(path: string): void {
    this.#paths.add(path)
    void this.sweep()
  }

  /** Never rejects. */
  sweep(): Promise<void> {
    if (this.#paths.size === 0) return Promise.resolve()
    this.#sweeping ??= this.#removeAll().finally(() => {
      this.#sweeping = null
    })
    return this.#sweeping
  }

  /** The same, synchronously: a settled file that is left would be recovered and handled again. */
  sweepSync(): void {
    for (const path of this.#paths) {
      try {
        unlinkSync(path)
        this.#paths.delete(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.#paths.delete(path)
      }
    }
  }

  async #removeAll(): Promise<void> {
    // Paths that are added meanwhile are iterated too.
    for (const path of this.#paths) {
      try {
        await inFileQueue(() => unlink(path))
        this.#paths.delete(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.#paths.delete(path)
      }
    }
  }
}
