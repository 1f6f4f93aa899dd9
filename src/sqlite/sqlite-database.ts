import { DatabaseTimeoutError } from '../database/query-errors.ts'
import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import type { Duration } from '../resilience/duration.ts'
import { SqliteEngine, type SqliteQuery } from './sqlite-engine.ts'
import type { SqliteHealth } from './sqlite-health.ts'
import { readPositive, readSqliteOptions, type SqliteOptions } from './sqlite-options.ts'
import { runInTransaction, type SqliteTransaction } from './sqlite-transaction.ts'
import type { SqliteParameters, SqliteRow } from './sqlite-values.ts'
import type { TransactionMode } from './thread-protocol.ts'

/** The result of a write. Both are numbers; `bigint` with `bigints: true`, and beyond 2^53. */
export interface SqliteChanges {
  /** Rows inserted, updated or deleted, not counting those of triggers and foreign keys. */
  readonly changes: number | bigint
  /** Id of the last row that the writer has inserted; 0 before the first. */
  readonly lastInsertRowid: number | bigint
}

/** The queries of a database, or of a transaction. */
export interface SqliteQueries {
  /** Returns all rows. */
  all<Row = SqliteRow>(sql: string, parameters?: SqliteParameters): Promise<Row[]>
  /** Returns the first row; undefined if there is none. */
  get<Row = SqliteRow>(sql: string, parameters?: SqliteParameters): Promise<Row | undefined>
  /** Runs a statement and returns what it changed. */
  run(sql: string, parameters?: SqliteParameters): Promise<SqliteChanges>
  /** Runs any number of statements, without parameters, as one transaction. */
  exec(sql: string): Promise<void>
}

export interface SqliteTransactionOptions {
  /**
   * `immediate` (the default) takes the write lock of the file at once; `deferred` takes it with
   * the first write, which fails if another process has written since the first read.
   */
  readonly mode?: TransactionMode
  /** From the call to its end. Default: `transactionTimeout` of the database. */
  readonly timeout?: Duration
}

const TRANSACTION_OPTIONS: OptionNames<SqliteTransactionOptions> = { mode: true, timeout: true }

/**
 * A SQLite database that is accessed only in worker threads. Each call is a wait: it times out
 * after `queryTimeout`, or the timeout of `withQueryTimeout`, but no later than its request; it is
 * recorded in the waits of the request, and is given up with it.
 *
 * Calls reject with
 * - `QueryTimeoutError`, or `WriteTimeoutError` for a write, when they time out;
 * - the abort reason when their request is given up;
 * - `SqliteError` when SQLite rejects the call;
 * - `ConnectionLostError` when the thread dies or the database has been closed;
 * - `UsageError` for parameters that SQLite has no type for, and for statements that may not run
 *   there.
 */
export class SqliteDatabase implements SqliteQueries, AsyncDisposable {
  readonly #engine: SqliteEngine

  constructor(engine: SqliteEngine) {
    this.#engine = engine
  }

  /** For this module. */
  static engineOf: (database: SqliteDatabase) => SqliteEngine = (database) => database.#engine

  get name(): string {
    return this.#engine.settings.name
  }

  all<Row = SqliteRow>(sql: string, parameters?: SqliteParameters): Promise<Row[]> {
    return queryAll(this.#engine, { sql, parameters })
  }

  get<Row = SqliteRow>(sql: string, parameters?: SqliteParameters): Promise<Row | undefined> {
    return queryFirst(this.#engine, { sql, parameters })
  }

  run(sql: string, parameters?: SqliteParameters): Promise<SqliteChanges> {
    return queryChanges(this.#engine, { sql, parameters })
  }

  exec(sql: string): Promise<void> {
    return execScript(this.#engine, { sql })
  }

  /**
   * Runs `work` in a transaction that has the writer for itself, and commits when it returns.
   *
   * The transaction is rolled back when `work` throws, when a call in it times out, and when it
   * times out itself. Later calls in it are then rejected, and the promise rejects without waiting
   * for `work`.
   *
   * @returns what `work` returns; rejects with what it throws, or with a `TransactionTimeoutError`
   */
  async transaction<T>(
    work: (tx: SqliteQueries) => T | PromiseLike<T>,
    options: SqliteTransactionOptions = {},
  ): Promise<T> {
    const engine = this.#engine
    checkOptions(`transaction on database ${engine.settings.name}`, options, TRANSACTION_OPTIONS)
    const { mode = 'immediate', timeout } = options
    const own =
      timeout === undefined
        ? engine.settings.transactionTimeout
        : readPositive(`transaction on database ${engine.settings.name}`, 'timeout', timeout)
    const transaction = engine.newTransaction(mode, own)
    try {
      await transaction.open()
      return await runAndCommit(engine, transaction, work)
    } catch (error) {
      // Shows the caller's stack, not that of the timer.
      if (error === transaction.reason && error instanceof DatabaseTimeoutError) Error.captureStackTrace(error)
      throw error
    }
  }

  /**
   * Rejects new calls, waits up to `closeTimeout` for running and queued ones, and closes the file.
   */
  close(): Promise<void> {
    return this.#engine.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * Opens a SQLite database in worker threads: one that writes, and some that read. Creates the file
 * if it is missing, and puts it into WAL mode.
 *
 * Returns at once; the first calls wait for the file. They reject with the reason if it cannot be
 * opened (no such directory, not a database, a lock), and the next call tries again.
 *
 * @param name names the database in errors, the log and `sqliteHealth`
 * @param file a path, or a `file:` URL without parameters; `:memory:` is a database without readers
 *   that lives as long as its thread
 * @throws InvalidOptionError for an invalid name, file or option
 */
export function openSqlite(name: string, file: string | URL, options: SqliteOptions = {}): SqliteDatabase {
  return new SqliteDatabase(new SqliteEngine(readSqliteOptions(name, file, options)))
}

/** Queues, threads and counts of a database that `openSqlite` opened. */
export function sqliteHealth(database: SqliteDatabase): SqliteHealth {
  return SqliteDatabase.engineOf(database).health()
}

function runAndCommit<T>(
  engine: SqliteEngine,
  transaction: SqliteTransaction,
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

function queriesIn(engine: SqliteEngine, transaction: SqliteTransaction): SqliteQueries {
  return {
    all: (sql, parameters) => queryAll(engine, { sql, parameters, transaction }),
    get: (sql, parameters) => queryFirst(engine, { sql, parameters, transaction }),
    run: (sql, parameters) => queryChanges(engine, { sql, parameters, transaction }),
    exec: (sql) => execScript(engine, { sql, transaction }),
  }
}

type Query = Omit<SqliteQuery, 'result'>

async function queryAll<Row>(engine: SqliteEngine, query: Query): Promise<Row[]> {
  const answer = await engine.run({ ...query, result: 'rows' })
  return answer.kind === 'rows' ? (answer.rows as Row[]) : []
}

async function queryFirst<Row>(engine: SqliteEngine, query: Query): Promise<Row | undefined> {
  const answer = await engine.run({ ...query, result: 'first' })
  return answer.kind === 'rows' ? (answer.rows[0] as Row | undefined) : undefined
}

async function queryChanges(engine: SqliteEngine, query: Query): Promise<SqliteChanges> {
  const answer = await engine.run({ ...query, result: 'changes' })
  if (answer.kind !== 'changes') return { changes: 0, lastInsertRowid: 0 }
  const { changes, lastInsertRowid } = answer
  return { changes, lastInsertRowid }
}

async function execScript(engine: SqliteEngine, query: Query): Promise<void> {
  await engine.run({ ...query, result: 'script' })
}
