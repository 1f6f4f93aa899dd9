import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { wallClock } from '../../resilience/clock.ts'
import { isOfThisMachine, isOwnerName } from './owner.ts'
import { makeDirectory, segmentNumber, segmentsIn } from './segment-files.ts'
import { OWNER_STALE } from './upkeep.ts'

/**
 * `<directory>/<queue>/<owner>/` is what an owner writes into, and holds everything it is answerable for: what it has adopted are directories in it. So a single rename of
 * the owner's directory hands all of it on, and at every instant each file is below exactly one owner.
 */

/** Names to try when one is taken. */
const MOST_NAMES = 1_000

/** The owners of a queue, dead or alive, that have anything left. */
export function listOwners(directory: string, queue: string): readonly string[] {
  const root = join(directory, queue)
  return entries(root).filter((name) => isOwnerName(name) && holdsAnything(join(root, name)))
}

/** Moves what an earlier spool of the same owner has left into a directory of its own, and returns the highest number of a segment in it. */
export function setEarlierAside(home: string): number {
  const names = segmentsIn(home)
  if (names.length === 0) return 0
  const aside = freeName(home, 'earlier')
  mkdirSync(aside, { mode: 0o700 })
  for (const name of names) renameSync(join(home, name), join(aside, name))
  return segmentNumber(names.at(-1) ?? '') ?? 0
}

/**
 * Takes everything below an owner over into the directory of another. Returns the directories that hold it, those that the owner had adopted
 * itself first; none when somebody else was first or there is nothing.
 */
export function takeOver(directory: string, queue: string, owner: string, by: string): readonly string[] {
  const home = join(directory, queue, by)
  const from = join(directory, queue, owner)
  if (!existsSync(from) || showsLife(owner, from)) return []
  try {
    makeDirectory(home)
  } catch {
    return []
  }
  const taken = moveInto(home, from, owner)
  return taken === null ? [] : flatten(home, taken)
}

/** Directories that an owner has adopted, or an earlier spool of the same process has left. */
export function adoptedBy(directory: string, queue: string, owner: string): readonly string[] {
  const home = join(directory, queue, owner)
  return directoriesIn(home).flatMap((path) => flatten(home, path))
}

/** Makes it an owner's again, for anybody to adopt. */
export function giveUp(directory: string, queue: string, adopted: string): void {
  const name = baseName(adopted).replace(/~\d+$/, '')
  if (!isOwnerName(name)) return
  try {
    renameSync(adopted, join(directory, queue, name))
  } catch {
    // It stays below the one who had it, and is found when that one is adopted.
  }
}

export function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch {
    // Something is in it still, or it is gone.
  }
}

/** Puts all directories below `path` next to each other, or every crash would nest them deeper; itself comes last. */
function flatten(home: string, path: string): string[] {
  const below = directoriesIn(path).flatMap((inner) => {
    return flatten(home, moveInto(home, inner, baseName(inner)) ?? inner)
  })
  return [...below, path]
}

/** Of an owner whose process table is out of sight only this is known. */
function showsLife(owner: string, home: string): boolean {
  if (isOfThisMachine(owner)) return false
  try {
    return wallClock().getTime() - statSync(home).mtimeMs < OWNER_STALE
  } catch {
    return false
  }
}

function moveInto(home: string, from: string, name: string): string | null {
  for (let attempt = 0; attempt < MOST_NAMES; attempt++) {
    const to = freeName(home, name.replace(/~\d+$/, ''))
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

function freeName(home: string, name: string): string {
  const taken = new Set(entries(home))
  let free = name
  for (let number = 1; taken.has(free); number++) free = `${name}~${number}`
  return join(home, free)
}

function holdsAnything(home: string): boolean {
  return segmentsIn(home).length > 0 || directoriesIn(home).some(holdsAnything)
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

function entries(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
