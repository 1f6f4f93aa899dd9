import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

interface Migration {
  readonly name: string
  up(database: DatabaseSync): void
}

const DISCUSSIONS = 2_000
/** A statement of this app waits so long for the lock of another, in milliseconds. */
const LOCK_WAIT = 60_000
/** The back-fill goes on for 8 s: 40 parts of it, each with a pause in place of the disk that a large table would keep busy, in milliseconds. */
const PARTS = 40
const PART = 200

const MIGRATIONS: readonly Migration[] = [
  {
    name: '0001-discussions',
    up: (database) => {
      database.exec('create table discussions (id integer primary key, source text not null, subject text not null)')
      const insert = database.prepare('insert into discussions (source, subject) values (?, ?)')
      for (let id = 1; id <= DISCUSSIONS; id++) {
        const kind = id % 2 === 0 ? 'messaging' : 'issue'
        insert.run(kind, `A question about ${kind === 'issue' ? 'issue' : 'thread'} ${id}`)
      }
    },
  },
  {
    name: '0002-words-of-the-subject',
    up: (database) => {
      database.exec('alter table discussions add column words text')
      const fill = database.prepare('update discussions set words = lower(subject) where id % ? = ?')
      for (let part = 0; part < PARTS; part++) {
        fill.run(PARTS, part)
        hold(PART)
      }
      database.exec('create index discussions_words on discussions (words)')
    },
  },
]

/**
 * Runs the migrations that are missing, and returns their names. All are one transaction, which begins by taking the file's write lock: whoever is
 * killed in the midst of it leaves nothing, and the next begins from the start. It blocks its thread, as the migration tool of the incident did.
 *
 * @throws Error with SQLite's reason; the file is then as it was
 */
export function migrateInbox(path: string): readonly string[] {
  mkdirSync(dirname(path), { recursive: true })
  const database = new DatabaseSync(path)
  try {
    database.exec(`pragma busy_timeout = ${LOCK_WAIT}; begin immediate`)
    const done = Number(database.prepare('pragma user_version').get()?.user_version)
    const missing = MIGRATIONS.slice(done)
    for (const { up } of missing) up(database)
    database.exec(`pragma user_version = ${MIGRATIONS.length}; commit`)
    return missing.map(({ name }) => name)
  } finally {
    // What was not committed goes with its connection.
    database.close()
  }
}

function hold(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
