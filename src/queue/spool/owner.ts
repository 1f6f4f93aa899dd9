import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { wallClock } from '../../resilience/clock.ts'
import { makeDirectorySync } from '../../system/make-directory.ts'
import { isProcessRunning, type ProcessIdentity, startOf, thisProcess } from '../../system/process-identity.ts'
import { segmentNumber, segmentsIn } from './segment-files.ts'

/** `<host>-<pid>-<start of the process>.<machine>`; a host name may contain dashes. */
const FORM = /^(.+)-(\d+)-(\d+)\.([0-9a-f]{8})$/
/** Milliseconds without a touch after which an owner on another machine is dead. */
const STALE_AFTER = 15_000
/** Names to try when one is taken. */
const MAX_NAMES = 1_000

let ours: string | undefined

/**
 * The process that owns a spool, as the name of a directory: host, pid, start time (a pid is
 * reused) and a mark of the machine (a pid means nothing after a reboot or in another container).
 */
export function thisOwner(): string {
  ours ??= `${host()}-${process.pid}-${startOf(process.pid) ?? 0}.${machine()}`
  return ours
}

export function isOwnerName(name: string): boolean {
  return FORM.test(name)
}

/** Whether the owner is in the process table that this process sees. */
export function isOfThisMachine(owner: string): boolean {
  return FORM.exec(owner)?.[4] === machine()
}

/**
 * Whether the process of this owner is running. An owner on another machine or in another container
 * counts as dead: `takeOver` checks when it last touched its directory.
 */
export function isOwnerAlive(owner: string): boolean {
  if (owner === thisOwner()) return true
  const [, , pidText = '', start = ''] = FORM.exec(owner) ?? []
  if (!isOfThisMachine(owner)) return false
  return isProcessRunning({ pid: Number(pidText), start: start === '0' ? null : Number(start) })
}

function host(): string {
  return (
    hostname()
      .replaceAll(/[^\w.-]/g, '_')
      .slice(0, 64) || 'localhost'
  )
}

let mark: string | undefined

function machine(): string {
  mark ??= markOf(thisProcess())
  return mark
}

function markOf({ hostname, bootId, pidNamespace }: ProcessIdentity): string {
  const text = `${hostname}\n${bootId === null ? '' : `${bootId}\n`}\n${pidNamespace ?? ''}`
  return crc32(text).toString(16).padStart(8, '0')
}

// `<directory>/<queue>/<owner>/` is what an owner writes to, and contains everything it is
// responsible for: what it has taken over are directories in it. So a single rename of the owner's
// directory hands all of it on, and at any time each file is below exactly one owner.

/** The owners of a queue, dead or alive, that have segments. */
export function listOwners(directory: string, queue: string): readonly string[] {
  const root = join(directory, queue)
  return entriesOf(root).filter((name) => isOwnerName(name) && hasSegments(join(root, name)))
}

/**
 * Moves the segments of an earlier spool of the same owner into a directory of their own.
 *
 * @returns the highest number of a segment
 */
export function setEarlierSegmentsAside(home: string): number {
  const names = segmentsIn(home)
  if (names.length === 0) return 0
  const aside = freePath(home, 'earlier')
  mkdirSync(aside, { mode: 0o700 })
  for (const name of names) renameSync(join(home, name), join(aside, name))
  return segmentNumber(names.at(-1) ?? '') ?? 0
}

/**
 * Moves everything below an owner into the directory of another.
 *
 * @returns the directories with its segments, those that the owner had taken over first; none when
 * another process was faster, there is nothing, or the owner is alive on another machine
 */
export function takeOver(directory: string, queue: string, owner: string, by: string): readonly string[] {
  const home = join(directory, queue, by)
  const from = join(directory, queue, owner)
  if (!existsSync(from) || isFresh(owner, from)) return []
  try {
    makeDirectorySync(home)
  } catch {
    return []
  }
  const taken = moveInto(home, from, owner)
  return taken === null ? [] : flatten(home, taken)
}

/** The directories that an owner has taken over, or that an earlier spool of its process left. */
export function takenOverBy(directory: string, queue: string, owner: string): readonly string[] {
  const home = join(directory, queue, owner)
  return directoriesIn(home).flatMap((path) => flatten(home, path))
}

/** Makes a directory that was taken over an owner's again, for any process to take over. */
export function giveUp(directory: string, queue: string, taken: string): void {
  const name = withoutSuffix(basename(taken))
  if (!isOwnerName(name)) return
  try {
    renameSync(taken, join(directory, queue, name))
  } catch {
    // It stays below its present owner, and is found when that one is taken over.
  }
}

export function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch {
    // It is not empty, or was removed already.
  }
}

/** Moves all directories below `path` next to it: crashes must not nest them. */
function flatten(home: string, path: string): string[] {
  const below = directoriesIn(path).flatMap((inner) => {
    return flatten(home, moveInto(home, inner, basename(inner)) ?? inner)
  })
  return [...below, path]
}

/** Whether an owner on another machine has touched its directory recently. */
function isFresh(owner: string, home: string): boolean {
  if (isOfThisMachine(owner)) return false
  try {
    return wallClock().getTime() - statSync(home).mtimeMs < STALE_AFTER
  } catch {
    return false
  }
}

function moveInto(home: string, from: string, name: string): string | null {
  for (let attempt = 0; attempt < MAX_NAMES; attempt++) {
    const to = freePath(home, withoutSuffix(name))
    try {
      renameSync(from, to)
      return to
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') return null
    }
  }
  return null
}

function freePath(home: string, name: string): string {
  const taken = new Set(entriesOf(home))
  let free = name
  for (let number = 1; taken.has(free); number++) free = `${name}~${number}`
  return join(home, free)
}

function withoutSuffix(name: string): string {
  return name.replace(/~\d+$/, '')
}

function hasSegments(home: string): boolean {
  return segmentsIn(home).length > 0 || directoriesIn(home).some(hasSegments)
}

function directoriesIn(home: string): string[] {
  try {
    return readdirSync(home, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(home, entry.name))
      .sort()
  } catch {
    return []
  }
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
