import { existsSync, statSync } from 'node:fs'
import { ReleaseError } from '../release-error.ts'
import type { BackupMaker } from './backup-maker.ts'

/** Pages copied at a time; the app can write in between. */
const PAGES_PER_STEP = 1_000
const BUSY_TIMEOUT = 30_000

/** Uses SQLite's online backup, which copies a database that is in use. */
export class SqliteBackup implements BackupMaker {
  readonly extension = 'sqlite'
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  check(): Promise<void> {
    return Promise.resolve()
  }

  size(): Promise<number> {
    const bytes = [this.#path, `${this.#path}-wal`].map((path) => (existsSync(path) ? statSync(path).size : 0))
    return Promise.resolve(bytes.reduce((sum, one) => sum + one, 0))
  }

  async make(path: string, signal: AbortSignal): Promise<void> {
    await copy(this.#path, path, signal)
    await check(path)
  }

  async restore(path: string, signal: AbortSignal): Promise<void> {
    await check(path)
    await copy(path, this.#path, signal)
  }

  otherSessions(): Promise<null> {
    return Promise.resolve(null)
  }
}

async function copy(from: string, to: string, signal: AbortSignal): Promise<void> {
  const { backup, DatabaseSync } = await import('node:sqlite')
  signal.throwIfAborted()
  const source = new DatabaseSync(from)
  try {
    source.exec(`pragma busy_timeout = ${BUSY_TIMEOUT}`)
    await backup(source, to, {
      rate: PAGES_PER_STEP,
      // An error that this throws ends the copy.
      progress: () => signal.throwIfAborted(),
    })
  } finally {
    source.close()
  }
}

async function check(path: string): Promise<void> {
  const { DatabaseSync } = await import('node:sqlite')
  const problems: string[] = []
  try {
    const database = new DatabaseSync(path, { readOnly: true })
    try {
      for (const row of database.prepare('pragma integrity_check').all()) problems.push(String(row.integrity_check))
    } finally {
      database.close()
    }
  } catch (error) {
    problems.push((error as Error).message)
  }
  if (problems.length === 1 && problems[0] === 'ok') return
  throw new ReleaseError(`the backup ${path} failed its integrity check: ${problems.slice(0, 5).join('; ')}`, {
    phase: 'backup',
    reason: 'unreadable',
  })
}
