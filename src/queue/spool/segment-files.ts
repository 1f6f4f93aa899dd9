import { closeSync, constants, mkdirSync, openSync, readdirSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { mkdir, rename, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { monotonicNow } from '../../resilience/clock.ts'
import { closeLater, openLater, readLater, truncateLater, writeLater } from './background-files.ts'
import { Segment } from './segment.ts'

/** Appending, so that nobody writes into what another wrote. */
export const REOPEN: number = constants.O_APPEND | constants.O_RDWR
/** Readable, so that a file whose name was removed can be restored. */
const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL
/** Others have no business in it: it holds what users did. */
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700
const NAME = /^(\d{8,15})\.spool$/
/** What a disk must have room for before it counts as working again. */
const TRIAL = 64 * 1024
const COPIED_AT_ONCE = 256 * 1024
/** Not more: Linux makes one folio of what is written at once, and ext4 then walks all of its blocks for each record that is written into it. */
const RESERVED_AT_ONCE = 64 * 1024
const ZEROS = Buffer.alloc(RESERVED_AT_ONCE)

function segmentName(number: number): string {
  return `${String(number).padStart(8, '0')}.spool`
}

/** The number of a segment file; null for any other file. */
export function segmentNumber(name: string): number | null {
  const digits = NAME.exec(name)?.[1]
  return digits === undefined ? null : Number(digits)
}

/**
 * Makes a directory, and those above it, unless they are there. Not `recursive`, which says "no such file or directory" where the file system is read-only. Throws what the file system does.
 *
 * @param parentMissing false when that has been seen to already
 */
export function makeDirectory(directory: string, parentMissing: boolean = true): void {
  try {
    mkdirSync(directory, DIRECTORY_MODE)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && parentMissing && dirname(directory) !== directory) {
      makeDirectory(dirname(directory))
      return makeDirectory(directory, false)
    }
    // It is there, or another process was quicker.
    if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) throw error
  }
}

async function makeDirectoryLater(directory: string, parentMissing = true): Promise<void> {
  try {
    await mkdir(directory, DIRECTORY_MODE)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && parentMissing && dirname(directory) !== directory) {
      await makeDirectoryLater(dirname(directory))
      return await makeDirectoryLater(directory, false)
    }
    const found = await stat(directory).catch(() => undefined)
    if (found?.isDirectory() !== true) throw error
  }
}

/** The names of the segments in a directory, in their order; none if it cannot be read. */
export function segmentsIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => segmentNumber(name) !== null)
      .sort((one, other) => (segmentNumber(one) ?? 0) - (segmentNumber(other) ?? 0))
  } catch {
    return []
  }
}

/** Throws what the file system does, and leaves no file then. */
export function createSegment(directory: string, number: number, header: Buffer): Segment {
  const path = join(directory, segmentName(number))
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
 * The same in the background, with room for records: zeros up to `size`, so that whoever writes them finds the pages of the file in memory and does not wait for the
 * system to make one every few records.
 */
export async function createSegmentLater(
  directory: string,
  number: number,
  header: Buffer,
  size: number,
): Promise<Segment> {
  const path = join(directory, segmentName(number))
  return new Segment(number, path, await createFile(path, [header, ...room(header.length, size)]), header.length)
}

/** In pieces that end where pages do. */
function* room(from: number, to: number): Generator<Buffer> {
  for (let at = from, next: number; at < to; at = next) {
    next = Math.min(to, at - (at % RESERVED_AT_ONCE) + RESERVED_AT_ONCE)
    yield ZEROS.subarray(0, next - at)
  }
}

export interface Trial {
  readonly segment: Segment
  /** Milliseconds. */
  readonly took: number
}

/** The same after a fault: makes the directory if it is missing, and finds out whether there is room and how slow the disk is. */
export async function tryDisk(directory: string, number: number, header: Buffer): Promise<Trial> {
  const begun = monotonicNow()
  await makeDirectoryLater(directory)
  const path = join(directory, segmentName(number))
  const fd = await createFile(path, [header, Buffer.alloc(TRIAL)])
  try {
    await truncateLater(fd, header.length)
  } catch (error) {
    await discard(fd, path)
    throw error
  }
  return { segment: new Segment(number, path, fd, header.length), took: monotonicNow() - begun }
}

/**
 * Copies a segment whose name was removed back to where it stood: its content lives as long as its descriptor does. False if that cannot be read (on a network
 * file system the server may have forgotten it); throws when the copy cannot be written.
 */
export async function restoreSegment(segment: Segment): Promise<boolean> {
  const temporary = `${segment.path}.tmp`
  await unlink(temporary).catch(() => {})
  const fd = await createFile(temporary, [])
  try {
    for (let at = 0; at < segment.size; at += COPIED_AT_ONCE) {
      const piece = await readLater(segment.fd, Math.min(COPIED_AT_ONCE, segment.size - at), at).catch(() => null)
      if (piece === null) {
        await discard(fd, temporary)
        return false
      }
      await writeLater(fd, piece)
    }
    await rename(temporary, segment.path)
  } catch (error) {
    await discard(fd, temporary)
    throw error
  }
  segment.moveTo(fd)
  return true
}

async function createFile(path: string, content: readonly Buffer[]): Promise<number> {
  const fd = await openLater(path, CREATE, FILE_MODE)
  try {
    for (const bytes of content) await writeLater(fd, bytes)
    return fd
  } catch (error) {
    await discard(fd, path)
    throw error
  }
}

async function discard(fd: number, path: string): Promise<void> {
  await closeLater(fd).catch(() => {})
  await unlink(path).catch(() => {})
}
