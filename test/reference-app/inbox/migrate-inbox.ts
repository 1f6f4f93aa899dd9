import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

interface Migration {
  readonly name: string
  up(database: DatabaseSync): void
}

const DISCUSSIONS = 2_000
/** How long a statement waits for a lock, in milliseconds. */
const LOCK_WAIT = 60_000
/**
 * The backfill takes 8 s: 40 parts, each with a pause in milliseconds that stands for the disk of a
 * large table.
 */
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
 * Runs the missing migrations, and returns their names. All are one transaction that starts with
 * the write lock of the file: a process killed midway leaves nothing, and the next one starts over.
 * Blocks its thread, like the migration tool of the incident.
 *
 * @throws Error of SQLite; the file is unchanged
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
    // Closing discards what was not committed.
    database.close()
  }
}

function hold(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
