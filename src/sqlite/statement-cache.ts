import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** Longer texts are mostly bulk inserts whose like does not come again. */
const LONGEST = 20_000

/** The prepared statements of one connection, the ones used last. */
export class StatementCache {
  readonly #database: DatabaseSync
  readonly #most: number
  readonly #bigints: boolean
  /** In order of their last use: a `Map` keeps the order in which keys were set. */
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync, most: number, bigints: boolean) {
    this.#database = database
    this.#most = most
    this.#bigints = bigints
  }

  take(sql: string): StatementSync {
    const found = this.#statements.get(sql)
    if (found !== undefined) {
      this.#statements.delete(sql)
      this.#statements.set(sql, found)
      return found
    }
    const statement = this.#database.prepare(sql)
    if (this.#bigints) statement.setReadBigInts(true)
    if (sql.length > LONGEST || this.#most === 0) return statement
    this.#statements.set(sql, statement)
    if (this.#statements.size > this.#most) {
      for (const oldest of this.#statements.keys()) {
        this.#statements.delete(oldest)
        break
      }
    }
    return statement
  }
}
