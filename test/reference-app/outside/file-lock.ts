import { after, type Cancel, monotonicNow } from '../../../src/resilience/clock.ts'
import { type Milliseconds, ms } from '../../../src/resilience/duration.ts'
import { AppError } from '../app-error.ts'
import { openSqlite, type SqliteDatabase } from '../punctual.ts'
import type { TableHang } from './table-hang.ts'

/** How long to wait for the lock while the file is in use. */
const LOCK_TIMEOUT = ms(5_000)

/**
 * Holds the write lock of a file until it is released, the time has passed, or this process ends.
 * SQLite locks files, not tables: no table can be written, all can be read.
 *
 * @throws AppError if the table does not exist, or the file stays in use for 5 s
 */
export async function lockFile(path: string, table: string, length: Milliseconds): Promise<TableHang> {
  const db = openSqlite('fault', path, { readers: 0, onEvent: () => {} })
  const over = Promise.withResolvers<void>()
  let ended: Promise<void> | undefined
  let cancel: Cancel = () => {}
  const release = (): Promise<void> => {
    cancel()
    over.resolve()
    ended ??= db.close()
    return ended
  }
  try {
    const found = await db.get('select 1 from sqlite_schema where type = ? and name = ?', ['table', table])
    if (found === undefined) throw new AppError('TABLE_UNKNOWN', `The table "${table}" does not exist.`, { table })
    await takeLock(db, over.promise, length, `The file with "${table}"`)
  } catch (error) {
    await release()
    throw error
  }
  const end = monotonicNow() + length
  cancel = after(length, () => void release(), { keepAlive: false })
  return {
    table,
    get left() {
      return ended === undefined ? Math.max(0, Math.round(end - monotonicNow())) : 0
    },
    release,
  }
}

/** Resolves when a transaction holds the lock, which it keeps until `over`. */
function takeLock(db: SqliteDatabase, over: Promise<void>, length: Milliseconds, what: string): Promise<void> {
  return new Promise((locked, refused) => {
    const busy = (): void => {
      refused(new AppError('TABLE_BUSY', `${what} could not be locked within ${LOCK_TIMEOUT / 1_000} s. Try again.`))
    }
    const giveUp = after(LOCK_TIMEOUT, busy, { keepAlive: false })
    const hold = async (): Promise<void> => {
      giveUp()
      locked()
      await over
    }
    db.transaction(hold, { timeout: LOCK_TIMEOUT + length }).catch((error: unknown) => {
      giveUp()
      refused(error)
    })
  })
}
