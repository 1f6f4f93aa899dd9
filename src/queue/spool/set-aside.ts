import { closeSync, mkdirSync, openSync, readdirSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** Damaged files kept for each queue, the newest, and what they may have together unless it is a single one. */
const MOST_FILES = 20
const MOST_BYTES = 64 * 1024 * 1024
const PIECE = 256 * 1024
const DAMAGED = '.damaged'

/** `<directory>/<queue>/aside`: what could not be read, for people to look at. No owner has this name. */
export function asideDirectory(directory: string, queue: string): string {
  return join(directory, queue, 'aside')
}

/** Moves a whole file aside. Returns where it is now; throws when it cannot be moved. */
export function setFileAside(aside: string, path: string, name: string): string {
  mkdirSync(aside, { recursive: true, mode: 0o700 })
  const to = join(aside, freeName(aside, name))
  renameSync(path, to)
  prune(aside)
  return to
}

/** Copies the end of a file aside, at most 64 MiB of it. Returns where it is; throws when it cannot be copied, and leaves nothing then. */
export function setRestAside(aside: string, fd: number, from: number, size: number, name: string): string {
  mkdirSync(aside, { recursive: true, mode: 0o700 })
  const to = join(aside, freeName(aside, name))
  const temporary = `${to}.tmp`
  try {
    const target = openSync(temporary, 'w', 0o600)
    try {
      copy(fd, from, Math.min(size, from + MOST_BYTES), target)
    } finally {
      closeSync(target)
    }
    renameSync(temporary, to)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  prune(aside)
  return to
}

export function damagedName(owner: string, segment: string): string {
  return `${owner}-${segment}${DAMAGED}`
}

function copy(fd: number, from: number, end: number, target: number): void {
  const buffer = Buffer.allocUnsafe(PIECE)
  for (let at = from; at < end; ) {
    const read = readSync(fd, buffer, 0, Math.min(PIECE, end - at), at)
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

/** Only what is damaged: files of another version wait for the version that reads them. */
function prune(aside: string): void {
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
    if (index >= MOST_FILES || (index > 0 && bytes > MOST_BYTES)) rmSync(join(aside, name), { force: true })
  })
}
