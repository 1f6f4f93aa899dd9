import { readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { LockHolder } from '../../diagnostics/release-report.ts'
import { wallClock } from '../../resilience/clock.ts'
import { makeDirectory } from '../../system/make-directory.ts'
import { failureOf, ReleaseError } from '../release-error.ts'
import type { ReleaseLock } from './release-lock.ts'

/** SQLite's error codes for a lock held by another connection. */
const BUSY = 5
const LOCKED = 6

/**
 * A lock file, acquired with `BEGIN IMMEDIATE`: SQLite uses kernel locks, which are released when
 * their process ends and work between containers that share a volume. The file is an empty database
 * of its own, because the steps must be able to write to the app's database.
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

  /** @throws ReleaseError if the file cannot be created or opened */
  static async open(path: string): Promise<FileLock> {
    try {
      const sqlite = await import('node:sqlite')
      await makeDirectory(dirname(path))
      const database = new sqlite.DatabaseSync(path)
      database.exec('pragma busy_timeout = 0')
      return new FileLock(path, database)
    } catch (error) {
      throw new ReleaseError(
        `cannot open the release lock ${path}: ${(error as Error).message}; check the directory and its permissions`,
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
      // A full disk or another user's file: the lock is held anyway, the holder is only shown to
      // people.
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
      // Already closed.
    }
    return Promise.resolve()
  }
}
