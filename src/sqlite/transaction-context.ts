import { AsyncLocalStorage } from 'node:async_hooks'
import { shortenSql } from '../database/shorten-sql.ts'
import { misuse } from './sqlite-errors.ts'

/** A transaction whose function is running, and those around it, of other databases. */
interface Inside {
  readonly database: object
  /** Whether it still has the writer of its database. */
  readonly transaction: { readonly holdsWriter: boolean }
  readonly outer: Inside | undefined
}

const context: AsyncLocalStorage<Inside> = new AsyncLocalStorage()

/** Runs the function of a transaction. */
export function runInTransaction<T>(database: object, transaction: Inside['transaction'], run: () => T): T {
  return context.run({ database, transaction, outer: context.getStore() }, run)
}

/** @throws {UsageError} when the writer is asked for by who has it, and so would wait for itself */
export function refuseInsideTransaction(database: object, sql: string): void {
  for (let inside = context.getStore(); inside !== undefined; inside = inside.outer) {
    if (inside.database !== database || !inside.transaction.holdsWriter) continue
    const short = shortenSql(sql)
    throw misuse(
      'nested-write',
      `"${short}" would wait for the transaction it is called in; call it on the object that the function of transaction() is given`,
      { sql: short },
    )
  }
}
