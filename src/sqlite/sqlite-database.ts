import { DatabaseTimeoutError } from '../database/query-errors.ts'
import type { Duration } from '../resilience/duration.ts'
import type { SqliteEngine } from './sqlite-engine.ts'
import { readPositive } from './sqlite-options.ts'
import type { SqliteParameters, SqliteRow } from './sqlite-values.ts'
import type { TransactionMode } from './thread-protocol.ts'
import { runInTransaction } from './transaction-context.ts'
import type { TransactionWait } from './transaction-wait.ts'

/** What a write has done. */
export interface SqliteChanges {
  /** Rows inserted, updated or deleted, without those of triggers and foreign keys. `bigint` with `bigints: true`, and where a number could not hold it. */
  readonly changes: number | bigint
  /** The id of the last row that the writer has inserted; 0 before the first. A number or a `bigint`, as above. */
  readonly lastInsertRowid: number | bigint
}

/** What can be asked, of a database or inside a transaction. */
export interface SqliteQueries {
  /** All rows. */
  all<Row = SqliteRow>(sql: string, parameters?: SqliteParameters): Promise<Row[]>
  /** The first row; undefined if there is none. */
  get<Row = SqliteRow>(sql: string, parameters?: SqliteParameters): Promise<Row | undefined>
  /** Carries a statement out. */
  run(sql: string, parameters?: SqliteParameters): Promise<SqliteChanges>
  /** Carries out any number of statements, without parameters: all of them, or none. */
  exec(sql: string): Promise<void>
}

export interface SqliteTransactionOptions {
  /** `immediate` (the default) takes the file's write lock at once; `deferred` with the first write, which another process may then have made impossible. */
  readonly mode?: TransactionMode
  /** From the call to its end. Default: `transactionTimeout` of the database. */
  readonly timeout?: Duration
}

/**
 * A SQLite database whose file is touched in threads only. Every call is a wait: its limit is `queryTimeout`, or what `withQueryTimeout` gives, cut to what is
 * left of the request; it is in the request's list of waits and given up with it.
 *
 * Calls reject with a `QueryTimeoutError` (a `WriteTimeoutError` when it writes), with the reason when what is around them is given up, with a
 * `SqliteError` when SQLite refuses, with a `ConnectionLostError` when the thread dies or the database has been closed, and with a `UsageError` for
 * parameters SQLite has no type for, or a statement that does not belong there.
 */
export class SqliteDatabase implements SqliteQueries, AsyncDisposable {
  readonly #engine: SqliteEngine

  constructor(engine: SqliteEngine) {
    this.#engine = engine
  }

  /** For this room. */
  static engineOf: (database: SqliteDatabase) => SqliteEngine = (database) => database.#engine

  get name(): string {
    return this.#engine.settings.name
  }

  all<Row = SqliteRow>(sql: string, parameters?: SqliteParameters): Promise<Row[]> {
    return askAll(this.#engine, undefined, sql, parameters)
  }

  get<Row = SqliteRow>(sql: string, parameters?: SqliteParameters): Promise<Row | undefined> {
    return askFirst(this.#engine, undefined, sql, parameters)
  }

  run(sql: string, parameters?: SqliteParameters): Promise<SqliteChanges> {
    return askChanges(this.#engine, undefined, sql, parameters)
  }

  exec(sql: string): Promise<void> {
    return askScript(this.#engine, undefined, sql)
  }

  /**
   * Calls `work` with the writer for itself, and commits when it returns. It is rolled back when `work` throws, when a call in it runs out, and when its own
   * limit does; then later calls in it are refused, and the promise rejects without waiting for `work`.
   *
   * @returns what `work` returns; rejects with what it throws, or with a `TransactionTimeoutError`
   */
  async transaction<T>(
    work: (tx: SqliteQueries) => T | PromiseLike<T>,
    { mode = 'immediate', timeout: limit }: SqliteTransactionOptions = {},
  ): Promise<T> {
    const engine = this.#engine
    const own =
      limit === undefined
        ? engine.settings.transactionTimeout
        : readPositive(`transaction on database ${engine.settings.name}`, 'limit', limit)
    const transaction = engine.begin(mode, own)
    try {
      await transaction.open()
      return await runInside(engine, transaction, work)
    } catch (error) {
      // The trace of whoever asked, instead of the timer's.
      if (error === transaction.reason && error instanceof DatabaseTimeoutError) Error.captureStackTrace(error)
      throw error
    }
  }

  /** Takes no more calls, lets what is under way and what waits end within `closeTimeout`, gives up the rest, and closes the file. */
  close(): Promise<void> {
    return this.#engine.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

function runInside<T>(
  engine: SqliteEngine,
  transaction: TransactionWait,
  work: (tx: SqliteQueries) => T | PromiseLike<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const value = runInTransaction(engine, transaction, async () => work(queriesIn(engine, transaction)))
    transaction.track(value)
    transaction.onGiven = reject
    value.then(
      (result) => {
        transaction.commit().then(() => resolve(result), reject)
      },
      (error: unknown) => {
        void transaction.rollBack().then(() => reject(error))
      },
    )
  })
}

function queriesIn(engine: SqliteEngine, transaction: TransactionWait): SqliteQueries {
  return {
    all: (sql, parameters) => askAll(engine, transaction, sql, parameters),
    get: (sql, parameters) => askFirst(engine, transaction, sql, parameters),
    run: (sql, parameters) => askChanges(engine, transaction, sql, parameters),
    exec: (sql) => askScript(engine, transaction, sql),
  }
}

type Maybe = TransactionWait | undefined

async function askAll<Row>(engine: SqliteEngine, transaction: Maybe, sql: string, parameters: unknown): Promise<Row[]> {
  const answer = await engine.ask({ sql, parameters, yields: 'rows', transaction })
  return answer.kind === 'rows' ? (answer.rows as Row[]) : []
}

async function askFirst<Row>(
  engine: SqliteEngine,
  transaction: Maybe,
  sql: string,
  parameters: unknown,
): Promise<Row | undefined> {
  const answer = await engine.ask({ sql, parameters, yields: 'first', transaction })
  return answer.kind === 'rows' ? (answer.rows[0] as Row | undefined) : undefined
}

async function askChanges(
  engine: SqliteEngine,
  transaction: Maybe,
  sql: string,
  parameters: unknown,
): Promise<SqliteChanges> {
  const answer = await engine.ask({ sql, parameters, yields: 'changes', transaction })
  if (answer.kind !== 'changes') return { changes: 0, lastInsertRowid: 0 }
  const { changes, lastInsertRowid } = answer
  return { changes, lastInsertRowid }
}

async function askScript(engine: SqliteEngine, transaction: Maybe, sql: string): Promise<void> {
  await engine.ask({ sql, yields: 'script', transaction })
}
