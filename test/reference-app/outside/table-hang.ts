import pg from 'pg'
import type { Cancel } from '../../../src/resilience/clock.ts'
import { after, monotonicNow } from '../../../src/resilience/clock.ts'
import type { Milliseconds } from '../../../src/resilience/duration.ts'
import { AppError } from '../app-error.ts'

/** How long to wait for the lock while the table is in use. */
const LOCK_TIMEOUT_MS = 5_000

/**
 * A table that does not respond: a session of ours holds `LOCK TABLE … IN ACCESS EXCLUSIVE MODE`.
 */
export interface TableHang {
  readonly table: string
  /** Milliseconds left; 0 when it is over. */
  readonly left: number
  /** Releases the lock early. Safe to call twice. */
  release(): Promise<void>
}

/**
 * Locks a table until it is released, the time has passed, or this process ends, which closes the
 * session.
 *
 * @throws AppError if the table does not exist, or stays in use for 5 s
 */
export async function hangTable(url: string, table: string, length: Milliseconds): Promise<TableHang> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 10_000,
    application_name: 'incidents fault',
  })
  // Without a listener, a broken connection would end the process. It only ends the fault.
  client.on('error', () => {})
  await client.connect()
  try {
    const { rowCount } = await client.query(
      'select from pg_tables where schemaname = current_schema and tablename = $1',
      [table],
    )
    if (rowCount === 0) throw new AppError('TABLE_UNKNOWN', `The table "${table}" does not exist.`, { table })
    await client.query(`begin; set local lock_timeout = ${LOCK_TIMEOUT_MS}`)
    await client.query(`lock table ${pg.escapeIdentifier(table)} in access exclusive mode`)
  } catch (error) {
    await client.end()
    if ((error as { code?: string }).code !== '55P03') throw error
    throw new AppError('TABLE_BUSY', `"${table}" could not be locked within ${LOCK_TIMEOUT_MS / 1_000} s. Try again.`)
  }
  const end = monotonicNow() + length
  let ended: Promise<void> | undefined
  let over = false
  client.once('end', () => {
    over = true
  })
  let cancel: Cancel = () => {}
  const release = (): Promise<void> => {
    cancel()
    ended ??= client.end()
    return ended
  }
  cancel = after(length, () => void release(), { keepAlive: false })
  return {
    table,
    get left() {
      return over || ended !== undefined ? 0 : Math.max(0, Math.round(end - monotonicNow()))
    },
    release,
  }
}
