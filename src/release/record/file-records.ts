import { existsSync } from 'node:fs'
import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { ReleaseRecord } from '../../diagnostics/release-report.ts'
import { wallClock } from '../../resilience/clock.ts'
import { makeDirectory } from '../../system/make-directory.ts'
import { RECORDS_KEPT, type ReleaseMark, type ReleaseRecords } from './release-records.ts'

const BUSY_TIMEOUT = 5_000

/** Records in a file with one JSON line per run, oldest first. The file is replaced atomically. */
export class FileRecords implements ReleaseRecords {
  readonly where: string
  readonly #app: string
  readonly #database: string | null

  /** @param database path of the SQLite database that holds the marks; null if there are none */
  constructor(path: string, app: string, database: string | null) {
    this.where = path
    this.#app = app
    this.#database = database
  }

  now(): Promise<string> {
    return Promise.resolve(wallClock().toISOString())
  }

  async prepare(): Promise<void> {
    await makeDirectory(dirname(this.where))
  }

  async list(): Promise<readonly ReleaseRecord[]> {
    const ours = (await this.#read()).filter(({ app }) => app === this.#app)
    return ours.toSorted((a, b) => (a.startedAt < b.startedAt ? 1 : -1))
  }

  async save(record: ReleaseRecord): Promise<void> {
    const others = (await this.#read()).filter(({ id }) => id !== record.id)
    const lines = [...others, record].slice(-RECORDS_KEPT).map((one) => `${JSON.stringify(one)}\n`)
    const temporary = `${this.where}.${process.pid}.tmp`
    const file = await open(temporary, 'w', 0o600)
    try {
      await file.writeFile(lines.join(''))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, this.where)
  }

  async marks(): Promise<readonly ReleaseMark[]> {
    const rows = await this.#queryMarks('select run, step from punctual_release_steps where app = ? order by at', [
      this.#app,
    ])
    return rows.map(({ run, step }) => ({ run: String(run), step: String(step) }))
  }

  async deleteMark(version: string, step: string): Promise<void> {
    await this.#queryMarks('delete from punctual_release_steps where app = ? and version = ? and step = ?', [
      this.#app,
      version,
      step,
    ])
  }

  async deleteMarksOf(run: string): Promise<void> {
    await this.#queryMarks('delete from punctual_release_steps where run = ?', [run])
  }

  /** SQLite has no server: sessions end with their process. */
  endLeftoverSessions(): Promise<void> {
    return Promise.resolve()
  }

  invalidIndexes(): Promise<readonly string[]> {
    return Promise.resolve([])
  }

  dropIndex(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** Returns no rows if the table does not exist: no transactional step has run yet. */
  async #queryMarks(text: string, values: readonly string[]): Promise<readonly Record<string, unknown>[]> {
    if (this.#database === null || !existsSync(this.#database)) return []
    const { DatabaseSync } = await import('node:sqlite')
    const database = new DatabaseSync(this.#database)
    try {
      database.exec(`pragma busy_timeout = ${BUSY_TIMEOUT}`)
      const has = database.prepare(`select 1 from sqlite_master where name = 'punctual_release_steps'`).get()
      return has === undefined ? [] : database.prepare(text).all(...values)
    } finally {
      database.close()
    }
  }

  async #read(): Promise<readonly ReleaseRecord[]> {
    const text = await readFile(this.where, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    return text.split('\n').flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as ReleaseRecord]
      } catch {
        // A power cut may have damaged a line; the others are still valid.
        return []
      }
    })
  }
}
