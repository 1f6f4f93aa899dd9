import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { isPassing } from './result-codes.ts'
import type { Failure, SqliteRule } from './sqlite-errors.ts'
import type { SqliteInput, SqliteParameters, SqliteRow } from './sqlite-values.ts'
import { StatementCache } from './statement-cache.ts'
import {
  type Guard,
  type JobEnd,
  PHASE,
  type RowsReply,
  type ScriptJob,
  type StatementJob,
  type ThreadData,
  type ThreadJob,
} from './thread-protocol.ts'

/** The rows that cross at once: few enough that neither thread stands still over them, many enough that crossing is cheap. */
const ROWS_AT_ONCE = 500
const BYTES_AT_ONCE = 1_000_000
const BYTES_OF_A_NUMBER = 8

const UNSAFE_INTEGER =
  'a whole number in the answer is beyond 2^53; open the database with bigints: true, or cast the column to text'
const TOO_LONG = /^Iterator result undefined/

/** A job is a generator: it stops at every lot of rows until more is asked for. */
type Work = Generator<RowsReply, JobEnd>

/** What is to be undone: nobody waits any more. */
const CANCELLED = Symbol('cancelled')

class Misuse extends Error {
  readonly rule: SqliteRule

  constructor(rule: SqliteRule, message: string) {
    super(message)
    this.rule = rule
  }
}

/** One connection, in its thread. It never waits: a lock is an answer, and who asked decides when to ask again. */
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

  begin(job: ThreadJob): RowsReply | JobEnd {
    this.#work = this.#start(job)
    return this.goOn()
  }

  goOn(): RowsReply | JobEnd {
    try {
      const step = (this.#work as Work).next()
      if (step.done !== true) return step.value
      this.#work = null
      return step.value
    } catch (error) {
      this.#work = null
      if (error === CANCELLED) return { kind: 'cancelled' }
      const failure = failureOf(error)
      return failure.type === 'sqlite' && isPassing(failure.errcode) ? { kind: 'busy' } : { kind: 'failed', failure }
    }
  }

  close(): void {
    this.#database?.close()
    this.#database = null
  }

  #start(job: ThreadJob): Work {
    switch (job.kind) {
      case 'open':
        return this.#one(() => this.#open())
      case 'begin':
        return this.#one(() => this.#exec(`BEGIN ${job.mode}`))
      case 'commit':
        return this.#one(() => this.#commit())
      case 'rollback':
        return this.#one(() => this.#rollBack())
      default:
        return this.#guarded(job)
    }
  }

  // biome-ignore lint/correctness/useYield: a job of one step
  *#one(run: () => JobEnd | undefined): Work {
    return run() ?? { kind: 'done' }
  }

  #open(): JobEnd {
    const { path, readOnly, synchronous, bigints, statements } = this.#data
    this.close()
    const database = new DatabaseSync(path, { readOnly, timeout: 0, enableForeignKeyConstraints: true })
    try {
      const journalMode = readOnly ? journalModeOf(database, '') : journalModeOf(database, ' = WAL')
      if (!readOnly) database.exec(`PRAGMA synchronous = ${synchronous}`)
      // The pragma answers of a file that is none, or that must be recovered first; reading does not.
      database.prepare('SELECT count(*) FROM sqlite_schema').get()
      this.#database = database
      this.#statements = new StatementCache(database, statements, bigints)
      return { kind: 'opened', journalMode }
    } catch (error) {
      database.close()
      throw error
    }
  }

  *#guarded(job: StatementJob | ScriptJob): Work {
    if (job.guard === 'inside') return yield* this.#run(job)
    if (job.guard === 'atomic') this.#exec('BEGIN IMMEDIATE')
    try {
      const end = yield* this.#run(job)
      this.#finish(job.guard)
      return end
    } catch (error) {
      this.#rollBack()
      throw error
    }
  }

  #finish(guard: Guard): void {
    if (guard === 'atomic') {
      if (!this.inTransaction)
        throw new Misuse('ends-transaction', 'it ends the transaction it runs in; use transaction()')
      this.#commit()
    } else if (this.inTransaction) {
      throw new Misuse(
        'leaves-transaction-open',
        'it leaves a transaction open on a connection that others use; use transaction()',
      )
    }
  }

  *#run(job: StatementJob | ScriptJob): Work {
    if (job.kind === 'script') {
      this.#exec(job.sql)
      return { kind: 'done' }
    }
    const statement = (this.#statements as StatementCache).take(job.sql)
    const { yields } = job
    const asRows = yields === 'either' ? statement.columns().length > 0 : yields !== 'changes'
    if (asRows) return yield* this.#rows(statement, job.parameters, yields === 'first' ? 1 : Number.POSITIVE_INFINITY)
    return this.#changes(statement, job.parameters)
  }

  /** Read as bigint in any case: an id that a number cannot hold would be rounded by one Node, and by another be the error of a write that was done. */
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

  /** Row by row, because only between rows can a query be left, by us or by who ends the thread. */
  *#rows(statement: StatementSync, parameters: SqliteParameters, most: number): Work {
    let rows: SqliteRow[] = []
    let bytes = 0
    let count = 0
    try {
      for (const row of statement.iterate(...bound(parameters))) {
        if (this.#phase[0] === PHASE.cancelled) throw CANCELLED
        rows.push(row as SqliteRow)
        if (++count === most) break
        bytes += sizeOf(row as SqliteRow)
        if (rows.length < ROWS_AT_ONCE && bytes < BYTES_AT_ONCE) continue
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

  /** Only while somebody waits: from here on it may have been carried out. */
  #commit(): undefined {
    const before = Atomics.compareExchange(this.#phase, 0, PHASE.running, PHASE.committing)
    if (before === PHASE.cancelled) throw CANCELLED
    try {
      this.#exec('COMMIT')
    } catch (error) {
      // Not carried out: it may be given up again.
      if (this.inTransaction) Atomics.compareExchange(this.#phase, 0, PHASE.committing, PHASE.running)
      throw error
    }
  }

  #rollBack(): undefined {
    if (this.inTransaction) this.#exec('ROLLBACK')
  }
}

function journalModeOf(database: DatabaseSync, change: string): string {
  return String(database.prepare(`PRAGMA journal_mode${change}`).get()?.journal_mode)
}

/** Node takes named ones as an object in the first place, which its types tell apart from the others by overloading. */
function bound(parameters: SqliteParameters): readonly SqliteInput[] {
  return Array.isArray(parameters) ? parameters : ([parameters] as unknown as SqliteInput[])
}

/** A statement that was left by an error of the binding is still under way, and would hold its connection to an old snapshot. */
function reset(statement: StatementSync, parameters: SqliteParameters): void {
  try {
    statement.iterate(...bound(parameters)).return?.()
  } catch {
    // What could not be begun is not under way.
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
    else bytes += BYTES_OF_A_NUMBER
  }
  return bytes
}

function failureOf(error: unknown): Failure {
  const { message, errcode, code } = error as { message?: unknown; errcode?: unknown; code?: unknown }
  if (typeof errcode === 'number') return { type: 'sqlite', errcode, message: String(message) }
  // Node's own message shows the number.
  if (code === 'ERR_OUT_OF_RANGE') return { type: 'misuse', rule: 'unsafe-integer', message: UNSAFE_INTEGER }
  if (error instanceof Misuse) return { type: 'misuse', rule: error.rule, message: error.message }
  // Node gives no row, and no reason, where V8 could not make a string of a text.
  if (error instanceof TypeError && TOO_LONG.test(error.message)) {
    return { type: 'misuse', rule: 'text-too-long', message: 'a text in the answer is longer than a string can be' }
  }
  return { type: 'misuse', rule: 'driver', message: String(message), nodeCode: String(code) }
}
