import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { makeDirectorySync } from '../../system/make-directory.ts'
import { diskFault } from './disk-fault.ts'
import type { ReadSteps } from './file-io.ts'
import { Segment } from './segment.ts'
import { REOPEN } from './segment-files.ts'
import { type SegmentScan, scanSegment } from './segment-scan.ts'

/** A file, or a part of one, that could not be read. */
export interface Damage {
  readonly path: string
  /**
   * - `missing`: the file was removed.
   * - `unreadable`: it cannot be opened, and stays where it is.
   * - `damaged`: nothing in it can be read.
   * - `damaged-tail`: what is behind its intact items cannot be read.
   * - `other-version`: it has another version of the format.
   */
  readonly problem: 'missing' | 'unreadable' | 'damaged' | 'damaged-tail' | 'other-version'
  /** Where the file or its damaged part is now; null if nothing was moved. */
  readonly movedTo: string | null
  /** One line for people. */
  readonly message: string
}

export interface OrphanedFile {
  readonly path: string
  /** The owner that wrote it. */
  readonly owner: string
  /** Its number within the recovery. */
  readonly number: number
  /** `asideDirectory` of the queue. */
  readonly aside: string
}

export type RecoveredSegment =
  | {
      readonly found: 'items'
      readonly segment: Segment
      readonly scan: SegmentScan
      /** The damaged tail could not be moved aside, so the whole file must be, in the end. */
      readonly isSpoilt: boolean
      readonly damage: Damage | null
    }
  /** The file has no items, and can be removed. */
  | { readonly found: 'nothing' }
  /** It was moved or removed. */
  | { readonly found: 'gone'; readonly damage: Damage }
  /** It can be neither read nor moved, and stays where it is. */
  | { readonly found: 'unreadable'; readonly damage: Damage }

/** Opens an orphaned segment. Truncates an unfinished record, and moves damage aside. */
export function* recoverSegment(file: OrphanedFile): ReadSteps<RecoveredSegment> {
  const { path, number } = file
  let fd: number
  let size: number
  try {
    fd = openReadable(path)
    size = fstatSync(fd).size
  } catch (error) {
    const { kind, why } = diskFault(error, path)
    if (kind === 'ENOENT') {
      return { found: 'gone', damage: { path, problem: 'missing', movedTo: null, message: why } }
    }
    return {
      found: 'unreadable',
      damage: { path, problem: 'unreadable', movedTo: null, message: `${why}; left there` },
    }
  }
  const scan = yield* scanSegment(fd, size)
  const { end, rest, items } = scan
  if (rest === 'unfinished' || typeof rest === 'object' || (rest === 'damage' && end === 0)) {
    closeSync(fd)
    if (rest === 'unfinished') return { found: 'nothing' }
    const damage = moveFileAside(file, rest)
    return { found: damage.movedTo === null ? 'unreadable' : 'gone', damage }
  }
  const damage = rest === 'damage' ? copyTailAside(file, fd, end, size, items.length) : null
  let isSpoilt = damage !== null && damage.movedTo === null
  try {
    if (rest !== 'nothing' && !isSpoilt) ftruncateSync(fd, end)
  } catch {
    // The next process finds the damage again. Until then nothing is written behind it.
    isSpoilt = true
  }
  const segment = new Segment(number, path, fd, end, scan.settled)
  segment.count = items.length
  for (let index = 0; index < items.length; index++) if (!scan.settled.has(index)) segment.live++
  return { found: 'items', segment, scan, isSpoilt, damage }
}

/** A file that is not writable may still be readable. */
function openReadable(path: string): number {
  try {
    return openSync(path, REOPEN)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error
    return openSync(path, constants.O_RDONLY)
  }
}

function moveFileAside({ path, owner, aside }: OrphanedFile, rest: 'damage' | { readonly version: number }): Damage {
  const isDamaged = rest === 'damage'
  const what = isDamaged ? 'damaged from its start' : `written in version ${rest.version} of the format`
  const problem = isDamaged ? 'damaged' : 'other-version'
  const name = isDamaged ? damagedName(owner, path) : `${owner}-${basename(path)}`
  try {
    const movedTo = setFileAside(aside, path, name)
    return { path, problem, movedTo, message: `${path} is ${what}; moved to ${movedTo}` }
  } catch (error) {
    const { why } = diskFault(error, aside)
    return { path, problem, movedTo: null, message: `${path} is ${what}; left there: ${why}` }
  }
}

function copyTailAside(file: OrphanedFile, fd: number, from: number, size: number, items: number): Damage {
  const { path, owner, aside } = file
  const what = `${path} is damaged at byte ${from}, behind ${items} intact items`
  const problem = 'damaged-tail'
  try {
    const movedTo = setTailAside(aside, fd, from, size, damagedName(owner, path))
    return { path, problem, movedTo, message: `${what}; moved the last ${size - from} bytes to ${movedTo}` }
  } catch (error) {
    return { path, problem, movedTo: null, message: `${what}; left there: ${diskFault(error, aside).why}` }
  }
}

/** Damaged files kept for each queue, and their total size, which a single one may exceed. */
const MAX_FILES = 20
const MAX_BYTES = 64 * 1024 * 1024
const COPY_SIZE = 256 * 1024
const DAMAGED = '.damaged'

/** The directory for what could not be read, for people to examine. No owner has this name. */
export function asideDirectory(directory: string, queue: string): string {
  return join(directory, queue, 'aside')
}

/** Moves a file aside whose intact items are all settled. Throws when it cannot be moved. */
export function setSpoiltFileAside({ path, owner, aside }: OrphanedFile): string {
  return setFileAside(aside, path, damagedName(owner, path))
}

function damagedName(owner: string, path: string): string {
  return `${owner}-${basename(path)}${DAMAGED}`
}

function setFileAside(aside: string, path: string, name: string): string {
  makeDirectorySync(aside)
  const to = join(aside, freeName(aside, name))
  renameSync(path, to)
  deleteOldest(aside)
  return to
}

/** Copies at most 64 MiB of the end of a file. Leaves nothing when it throws. */
function setTailAside(aside: string, fd: number, from: number, size: number, name: string): string {
  makeDirectorySync(aside)
  const to = join(aside, freeName(aside, name))
  const temporary = `${to}.tmp`
  try {
    const target = openSync(temporary, 'w', 0o600)
    try {
      copy(fd, from, Math.min(size, from + MAX_BYTES), target)
    } finally {
      closeSync(target)
    }
    renameSync(temporary, to)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  deleteOldest(aside)
  return to
}

function copy(fd: number, from: number, end: number, target: number): void {
  const buffer = Buffer.allocUnsafe(COPY_SIZE)
  for (let at = from; at < end; ) {
    const read = readSync(fd, buffer, 0, Math.min(COPY_SIZE, end - at), at)
    if (read === 0) return
    for (let written = 0; written < read; ) written += writeSync(target, buffer, written, read - written)
    at += read
  }
}

function freeName(aside: string, name: string): string {
  const taken = new Set(readdirSync(aside))
  let free = name
  for (let number = 1; taken.has(free); number++) free = `${number}-${name}`
  return free
}

/** Deletes only damaged files: those of another version wait for the version that reads them. */
function deleteOldest(aside: string): void {
  const files = readdirSync(aside)
    .filter((name) => name.endsWith(DAMAGED))
    .map((name) => {
      const { size, mtimeMs } = statSync(join(aside, name))
      return { name, size, mtimeMs }
    })
    .sort((one, other) => other.mtimeMs - one.mtimeMs)
  let bytes = 0
  files.forEach(({ name, size }, index) => {
    bytes += size
    if (index >= MAX_FILES || (index > 0 && bytes > MAX_BYTES)) rmSync(join(aside, name), { force: true })
  })
}
