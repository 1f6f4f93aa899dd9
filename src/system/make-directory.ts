import { mkdirSync, statSync } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Readable by this user only: the state directory holds request bodies, incidents and a control
 * socket.
 */
const MODE = 0o700

/**
 * Makes a directory and its missing parents, for this user only. One that exists is left as it is.
 * Another process may do the same at the same time.
 *
 * Not by `recursive`: Node loops forever where a directory cannot exist below one that does
 * (`/proc`), and reports ENOENT on a read-only file system.
 *
 * @throws what the file system says (EACCES, EROFS, ENOSPC …)
 */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, MODE)
  } catch (error) {
    if ((await stat(path).catch(() => undefined))?.isDirectory() === true) return
    if (!isParentMissing(error, path)) throw error
    await makeDirectory(dirname(path))
    await mkdir(path, MODE).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again
    })
  }
}

/** The same, synchronously. */
export function makeDirectorySync(path: string): void {
  try {
    mkdirSync(path, MODE)
  } catch (error) {
    if (isDirectorySync(path)) return
    if (!isParentMissing(error, path)) throw error
    makeDirectorySync(dirname(path))
    try {
      mkdirSync(path, MODE)
    } catch (again) {
      if ((again as NodeJS.ErrnoException).code !== 'EEXIST') throw again
    }
  }
}

function isParentMissing(error: unknown, path: string): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT' && dirname(path) !== path
}

function isDirectorySync(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  } catch {
    return false
  }
}
