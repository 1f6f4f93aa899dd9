import { mkdirSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Creates a directory that serves as a lock between processes, which its holder removes. Returns
 * false if another process holds it.
 *
 * @param maxAge milliseconds after which it was left by a process that died, and is removed
 */
export function acquireLock(lock: string, maxAge: number): boolean {
  mkdirSync(dirname(lock), { recursive: true })
  try {
    mkdirSync(lock)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    if (age > maxAge) rmSync(lock, { recursive: true, force: true })
    return false
  }
}
