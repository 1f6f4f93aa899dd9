import { readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { LockHolder } from '../../diagnostics/release-report.ts'
import { wallClock } from '../../resilience/clock.ts'
import { makeDirectory } from '../../system/make-directory.ts'
import { failureOf, ReleaseError } from '../release-error.ts'
import type { ReleaseLock } from './release-lock.ts'

/** SQLite's own numbers for a lock that somebody else holds. */
const BUSY = 5
const LOCKED = 6

/**
 * A lock file, taken by `BEGIN IMMEDIATE`: SQLite holds it with locks of the kernel, which end with their process, however that ends, and which
 * work between containers that share a volume. The file is a database of its own and stays empty, since the steps must be able to write to theirs.
 */
export class FileLock implements ReleaseLock {
  readonly where: string
  readonly lost: AbortSignal = new AbortController().signal
  readonly #path: string
  readonly #database: DatabaseSync

  private constructor(path: string, database: DatabaseSync) {
    this.#path = path
    this.#database = database
    this.where = path
  }

  /** @throws ReleaseError if the file cannot be made or opened */
  static async open(path: string): Promise<FileLock> {
    try {
      const sqlite = await import('node:sqlite')
      await makeDirectory(dirname(path))
      const database = new sqlite.DatabaseSync(path)
      database.exec('pragma busy_timeout = 0')
      return new FileLock(path, database)
    } catch (error) {
      throw new ReleaseError(
        `the release lock ${path} cannot be opened: ${(error as Error).message}; check the directory and who may write there`,
        { ...failureOf(error, 'lock'), reason: 'not-opened', path },
        { cause: error },
      )
    }
  }

  tryAcquire(): Promise<boolean> {
    try {
      this.#database.exec('begin immediate')
    } catch (error) {
      const { errcode } = error as { readonly errcode?: number }
      if (errcode !== undefined && [BUSY, LOCKED].includes(errcode & 0xff)) return Promise.resolve(false)
      return Promise.reject(error)
    }
    try {
      const holder: LockHolder = {
        host: hostname(),
        pid: process.pid,
        serverPid: null,
        since: wallClock().toISOString(),
      }
      writeFileSync(`${this.#path}-holder`, `${JSON.stringify(holder)}\n`)
    } catch {
      // The disk is full, or the file another user's: the lock is had all the same, and who has it is for people.
    }
    return Promise.resolve(true)
  }

  holder(): Promise<LockHolder | null> {
    try {
      return Promise.resolve(JSON.parse(readFileSync(`${this.#path}-holder`, 'utf8')) as LockHolder)
    } catch {
      return Promise.resolve(null)
    }
  }

  close(): Promise<void> {
    try {
      this.#database.close()
    } catch {
      // It is closed already.
    }
    return Promise.resolve()
  }
}
