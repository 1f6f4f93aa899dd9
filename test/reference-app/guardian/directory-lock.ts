import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { AppError } from '../app-error.ts'
import { identifyProcess } from './process-identity.ts'

/** The holder of a lock: the guardian, and the `npm start` it works for. */
export interface LockOwner {
  readonly pid: number
  readonly identity: string
  readonly startPid: number
  readonly startIdentity: string
}

export type LockResult =
  | { readonly held: true; readonly release: () => void }
  | { readonly held: false; readonly by: LockOwner }

/**
 * Acquires the lock file at `path`, or returns its holder. A lock of a dead process is taken over.
 * The file is created by hard link, so that it is never read half-written.
 */
export function takeLock(path: string, owner: LockOwner): LockResult {
  const mine = `${path}.${process.pid}`
  const text = `${JSON.stringify(owner)}\n`
  for (;;) {
    writeFileSync(mine, text, { mode: 0o600 })
    try {
      linkSync(mine, path)
      return { held: true, release: () => releaseLock(path, text) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      rmSync(mine, { force: true })
    }
    const found = readText(path)
    if (found === undefined) continue
    const holder = parseOwner(found)
    if (holder !== undefined && runs(holder)) return { held: false, by: holder }
    removeStale(path, found)
  }
}

/** Returns the holder of the lock; undefined if it is free, or its process is dead. */
export function lockHolder(path: string): LockOwner | undefined {
  const holder = parseOwner(readText(path) ?? '')
  return holder !== undefined && runs(holder) ? holder : undefined
}

/**
 * Returns whether the holder's `npm start` still runs; if not, the lock is about to be released.
 */
export function isStartAlive(owner: LockOwner): boolean {
  return identifyProcess(owner.startPid) === owner.startIdentity
}

/** The error of a second `npm start`. */
export function inUseError({ startPid }: LockOwner, directory: string): AppError {
  return new AppError(
    'DATABASE_IN_USE',
    `another npm start (pid ${startPid}) uses ${directory}. Stop it first (Ctrl-C there, or: kill ${startPid}), or set DATABASE_URL and other ports.`,
    { startPid, directory },
  )
}

function runs(owner: LockOwner): boolean {
  return identifyProcess(owner.pid) === owner.identity
}

/**
 * Two processes may find the same stale lock. Each checks what it moved away, and restores a live
 * one.
 */
function removeStale(path: string, stale: string): void {
  const aside = `${path}.${process.pid}.stale`
  try {
    renameSync(path, aside)
    if (readText(aside) !== stale) linkSync(aside, path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error
  } finally {
    rmSync(aside, { force: true })
  }
}

function releaseLock(path: string, text: string): void {
  if (readText(path) === text) rmSync(path, { force: true })
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function parseOwner(text: string): LockOwner | undefined {
  try {
    const owner = JSON.parse(text) as Partial<LockOwner> | null
    return typeof owner?.pid === 'number' && typeof owner.identity === 'string' ? (owner as LockOwner) : undefined
  } catch {
    return undefined
  }
}
