import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { isRetryable } from './result-codes.ts'
import type { Failure, SqliteRule } from './sqlite-errors.ts'
import type { SqliteInput, SqliteParameters, SqliteRow } from './sqlite-values.ts'
import {
  type InTransaction,
  type JobEnd,
  PHASE,
  type RowsReply,
  type ScriptJob,
  type StatementJob,
  type ThreadData,
  type ThreadJob,
} from './thread-protocol.ts'

/** Rows per message: few enough to block neither thread, enough to make the transfer cheap. */
const ROWS_PER_MESSAGE = 500
const BYTES_PER_MESSAGE = 1_000_000
const BYTES_PER_NUMBER = 8
/** Longer statements are mostly bulk inserts that are not repeated; they are not kept. */
const MAX_CACHED_SQL_LENGTH = 20_000

const UNSAFE_INTEGER =
  'an integer in the result is beyond 2^53; open the database with bigints: true, or cast the column to text'
const TEXT_TOO_LONG = /^Iterator result undefined/

/**
 * A job is a generator: it stops after each message of rows until the main thread asks for more.
 */
type Work = Generator<RowsReply, JobEnd>

/** Thrown when the caller has given up, so that the work is rolled back. */
const CANCELLED = Symbol('cancelled')

class Misuse extends Error {
  readonly rule: SqliteRule

  constructor(rule: SqliteRule, message: string) {
    super(message)
    this.rule = rule
  }
}

/** One connection, in its thread. It never waits for a lock: the main thread retries. */
export class ThreadConnection {
  readonly #data: ThreadData
  readonly #phase: Int32Array
  #database: DatabaseSync | null = null
  #statements: StatementCache | null = null
  #work: Work | null = null

  constructor(data: ThreadData) {
    this.#data = data
    this.#phase = new Int32Array(data.control)
  }

  get inTransaction(): boolean {
    return this.#database?.isTransaction === true
  }

  /** Starts a job and returns its first reply. */
  start(job: ThreadJob): RowsReply | JobEnd {
    this.#work = this.#workOf(job)
    return this.continue()
  }

  /** Runs the current job to its next reply. */
  continue(): RowsReply | JobEnd {
    try {
      const step = (this.#work as Work).next()
      if (step.done !== true) return step.value
      this.#work = null
      return step.value
    } catch (error) {
      this.#work = null
      if (error === CANCELLED) return { kind: 'cancelled' }
      const failure = failureOf(error)
      if (failure.type === 'sqlite' && isRetryable(failure.errcode)) return { kind: 'busy' }
      return { kind: 'failed', failure }
    }
  }

  close(): void {
    this.#database?.close()
    this.#database = null
  }

  #workOf(job: ThreadJob): Work {
    switch (job.kind) {
      case 'open':
        return this.#oneStep(() => this.#open())
      case 'begin':
        return this.#oneStep(() => this.#exec(`BEGIN ${job.mode}`))
      case 'commit':
        return this.#oneStep(() => this.#commit())
      case 'rollback':
        return this.#oneStep(() => this.#rollBack())
      default:
        return this.#runInTransaction(job)
    }
  }

  // biome-ignore lint/correctness/useYield: a job of one step
  *#oneStep(run: () => JobEnd | undefined): Work {
    return run() ?? { kind: 'done' }
  }

  #open(): JobEnd {
    const { path, readOnly, synchronous, bigints, statementCacheSize } = this.#data
    this.close()
    const database = new DatabaseSync(path, { readOnly, timeout: 0, enableForeignKeyConstraints: true })
    try {
      const journalMode = readOnly ? journalModeOf(database, '') : journalModeOf(database, ' = WAL')
      if (!readOnly) database.exec(`PRAGMA synchronous = ${synchronous}`)
      // The pragma succeeds on a file that is not a database or needs recovery; a read fails there.
      database.prepare('SELECT count(*) FROM sqlite_schema').get()
      this.#database = database
      this.#statements = new StatementCache(database, statementCacheSize, bigints)
      return { kind: 'opened', journalMode }
    } catch (error) {
      database.close()
      throw error
    }
  }

  *#runInTransaction(job: StatementJob | ScriptJob): Work {
    if (job.transaction === 'open') return yield* this.#run(job)
    if (job.transaction === 'own') this.#exec('BEGIN IMMEDIATE')
    try {
      const end = yield* this.#run(job)
      this.#finish(job.transaction)
      return end
    } catch (error) {
      this.#rollBack()
      throw error
    }
  }

  #finish(transaction: InTransaction): void {
    if (transaction === 'own') {
      if (!this.inTransaction) {
        throw new Misuse('ends-transaction', 'it ends the transaction it runs in; use transaction()')
      }
      this.#commit()
    } else if (this.inTransaction) {
      const message = 'it leaves a transaction open on a shared connection; use transaction()'
      throw new Misuse('leaves-transaction-open', message)
    }
  }

  *#run(job: StatementJob | ScriptJob): Work {
    if (job.kind === 'script') {
      this.#exec(job.sql)
      return { kind: 'done' }
    }
    const statement = (this.#statements as StatementCache).take(job.sql)
    const { result } = job
    const asRows = result === 'either' ? statement.columns().length > 0 : result !== 'changes'
    if (asRows) return yield* this.#rows(statement, job.parameters, result === 'first' ? 1 : Number.POSITIVE_INFINITY)
    return this.#changes(statement, job.parameters)
  }

  /**
   * Always reads bigints: of an id beyond 2^53, some versions of Node return a rounded number, and
   * others throw after the write has been done.
   */
  #changes(statement: StatementSync, parameters: SqliteParameters): JobEnd {
    const { bigints } = this.#data
    if (!bigints) statement.setReadBigInts(true)
    try {
      const { changes, lastInsertRowid } = statement.run(...bound(parameters))
      if (bigints) return { kind: 'changes', changes, lastInsertRowid }
      return { kind: 'changes', changes: exact(changes), lastInsertRowid: exact(lastInsertRowid) }
    } finally {
      if (!bigints) statement.setReadBigInts(false)
    }
  }

  /**
   * Iterates, because a query can be cancelled, or its thread terminated, only between two rows.
   */
  *#rows(statement: StatementSync, parameters: SqliteParameters, maxRows: number): Work {
    let rows: SqliteRow[] = []
    let bytes = 0
    let count = 0
    try {
      for (const row of statement.iterate(...bound(parameters))) {
        if (this.#phase[0] === PHASE.cancelled) throw CANCELLED
        rows.push(row as SqliteRow)
        if (++count === maxRows) break
        bytes += sizeOf(row as SqliteRow)
        if (rows.length < ROWS_PER_MESSAGE && bytes < BYTES_PER_MESSAGE) continue
        yield { kind: 'some-rows', rows }
        rows = []
        bytes = 0
        if (this.#phase[0] === PHASE.cancelled) throw CANCELLED
      }
    } catch (error) {
      reset(statement, parameters)
      throw error
    }
    return { kind: 'rows', rows }
  }

  #exec(sql: string): undefined {
    const database = this.#database as DatabaseSync
    database.exec(sql)
  }

  /** Commits unless the caller has given up. From `committing` on, the write may be committed. */
  #commit(): undefined {
    const before = Atomics.compareExchange(this.#phase, 0, PHASE.running, PHASE.committing)
    if (before === PHASE.cancelled) throw CANCELLED
    try {
      this.#exec('COMMIT')
    } catch (error) {
      // The commit failed as a whole, so the caller may give up again.
      if (this.inTransaction) Atomics.compareExchange(this.#phase, 0, PHASE.committing, PHASE.running)
      throw error
    }
  }

  #rollBack(): undefined {
    if (this.inTransaction) this.#exec('ROLLBACK')
  }
}

/** The most recently used prepared statements of one connection. */
export class StatementCache {
  readonly #database: DatabaseSync
  readonly #maxSize: number
  readonly #bigints: boolean
  /** In the order of their last use, because a `Map` keeps the order in which keys were set. */
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync, maxSize: number, bigints: boolean) {
    this.#database = database
    this.#maxSize = maxSize
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
    if (sql.length > MAX_CACHED_SQL_LENGTH || this.#maxSize === 0) return statement
    this.#statements.set(sql, statement)
    if (this.#statements.size > this.#maxSize) {
      const [oldest] = this.#statements.keys()
      if (oldest !== undefined) this.#statements.delete(oldest)
    }
    return statement
  }
}

function journalModeOf(database: DatabaseSync, change: string): string {
  return String(database.prepare(`PRAGMA journal_mode${change}`).get()?.journal_mode)
}

/** Node takes named parameters as its first argument, which its types declare as an overload. */
function bound(parameters: SqliteParameters): readonly SqliteInput[] {
  return Array.isArray(parameters) ? parameters : ([parameters] as unknown as SqliteInput[])
}

/** Ends a statement that an error left open: it would hold its connection to an old snapshot. */
function reset(statement: StatementSync, parameters: SqliteParameters): void {
  try {
    statement.iterate(...bound(parameters)).return?.()
  } catch {
    // A statement that cannot be started is not open.
  }
}

function exact(value: number | bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function sizeOf(row: SqliteRow): number {
  let bytes = 0
  for (const name in row) {
    const value = row[name]
    if (typeof value === 'string') bytes += value.length
    else if (value instanceof Uint8Array) bytes += value.byteLength
    else bytes += BYTES_PER_NUMBER
  }
  return bytes
}

function failureOf(error: unknown): Failure {
  const { message, errcode, code } = error as { message?: unknown; errcode?: unknown; code?: unknown }
  if (typeof errcode === 'number') return { type: 'sqlite', errcode, message: String(message) }
  // Node's own message contains the number.
  if (code === 'ERR_OUT_OF_RANGE') return { type: 'misuse', rule: 'unsafe-integer', message: UNSAFE_INTEGER }
  if (error instanceof Misuse) return { type: 'misuse', rule: error.rule, message: error.message }
  // Node returns no row, and no reason, where V8 cannot make a string of the text.
  if (error instanceof TypeError && TEXT_TOO_LONG.test(error.message)) {
    return { type: 'misuse', rule: 'text-too-long', message: 'a text in the result exceeds the length of a string' }
  }
  return { type: 'misuse', rule: 'driver', message: String(message), nodeCode: String(code) }
}
