import { type DatabaseTimeout, DatabaseTimeoutError, QueryTimeoutError } from '../database/query-errors.ts'
import { shortenSql } from '../database/shorten-sql.ts'
import { PunctualError, UsageError } from '../errors/punctual-error.ts'
import { isSnapshotLost, nameOfCode } from './result-codes.ts'

/** What a call that cannot be carried out as it is written does wrong: `details.rule` of its `UsageError`. */
export type SqliteRule =
  /** The statement is not a string. */
  | 'statement-type'
  /** The parameters are neither an array nor an object. */
  | 'parameters-type'
  /** SQLite has no type for a parameter. */
  | 'parameter-type'
  | 'several-statements'
  /** BEGIN, COMMIT and the like, where `transaction()` is meant. */
  | 'transaction-boundary'
  /** A script of several statements cannot hold what runs in no transaction. */
  | 'script-not-atomic'
  /** The script ends the transaction it runs in. */
  | 'ends-transaction'
  | 'leaves-transaction-open'
  /** A write inside a transaction that is not part of it: it would wait for itself. */
  | 'nested-write'
  /** A call in a transaction that is over. */
  | 'transaction-over'
  | 'transaction-rolled-back'
  /** An integer in the answer is beyond 2^53. */
  | 'unsafe-integer'
  | 'text-too-long'
  /** Refused by `node:sqlite`: `details.nodeCode`. */
  | 'driver'

/** An error, as it crosses to the main thread. */
export type Failure =
  /** SQLite's own, with its extended result code. */
  | { readonly type: 'sqlite'; readonly errcode: number; readonly message: string }
  /** The statement does not belong here, its parameters do not fit, or its answer cannot be given. */
  | { readonly type: 'misuse'; readonly rule: SqliteRule; readonly message: string; readonly nodeCode?: string }

/** What keeps a call waiting. */
export interface Obstacle {
  readonly kind: 'file-lock' | 'transaction' | 'abandoned-threads'
  /** As the end of a sentence. */
  readonly text: string
}

export const FILE_LOCK: Obstacle = { kind: 'file-lock', text: 'a lock that another connection holds on the file' }
export const ABANDONED_THREADS: Obstacle = { kind: 'abandoned-threads', text: 'queries that cannot be ended' }

/** What to do about an error, as the end of its message, and for programs. */
interface Advice {
  readonly text: string
  readonly details: { readonly advice?: 'repeat-transaction' | 'no-begin-in-script'; readonly path?: string }
}

const NO_ADVICE: Advice = { text: '', details: {} }

/** SQLite refused something: a constraint, a fault in the statement, a file that cannot be opened, a full disk. */
export class SqliteError extends PunctualError {
  static {
    SqliteError.prototype.name = 'SqliteError'
  }

  /** Name of the database. */
  readonly database: string
  /** SQLite's extended result code, e.g. 2067. */
  readonly errcode: number
  /** Its name, e.g. `SQLITE_CONSTRAINT_UNIQUE`. */
  readonly errname: string
  /** The statement, shortened and without values; empty when it was not about one. */
  readonly sql: string

  constructor(database: string, errcode: number, message: string, sql: string, advice: Advice = NO_ADVICE) {
    const errname = nameOfCode(errcode)
    const about = sql === '' ? '' : ` (${sql})`
    super(
      'PUNCTUAL_SQLITE_FAILED',
      `database ${database}: ${withoutValues(message)} [${errname}]${about}${advice.text}`,
      { details: { database, errcode, errname, sql, ...advice.details } },
    )
    this.database = database
    this.errcode = errcode
    this.errname = errname
    this.sql = sql
  }
}

/** Whether what ran out has been carried out. `no`: not, and not in part, so it may be repeated. `unknown`: it ran out while it was being committed. */
export type CarriedOut = 'no' | 'unknown'

/** A write was not done within its limit. */
export class WriteTimeoutError extends QueryTimeoutError {
  static {
    WriteTimeoutError.prototype.name = 'WriteTimeoutError'
  }

  readonly carriedOut: CarriedOut
  /** What it waited for; null if that was nothing in particular. */
  readonly blockedBy: Obstacle['kind'] | null

  constructor(expiry: DatabaseTimeout, sql: string, carriedOut: CarriedOut, obstacle: Obstacle | null) {
    super(expiry, sql)
    this.carriedOut = carriedOut
    this.blockedBy = obstacle?.kind ?? null
    this.message += tellRest(carriedOut, obstacle)
  }
}

/** A transaction was not over within its limit. */
export class TransactionTimeoutError extends DatabaseTimeoutError {
  static {
    TransactionTimeoutError.prototype.name = 'TransactionTimeoutError'
  }

  readonly carriedOut: CarriedOut
  /** What it waited for; null if that was nothing in particular. */
  readonly blockedBy: Obstacle['kind'] | null

  constructor(expiry: DatabaseTimeout, carriedOut: CarriedOut, obstacle: Obstacle | null) {
    super('transaction', expiry, tellRest(carriedOut, obstacle))
    this.carriedOut = carriedOut
    this.blockedBy = obstacle?.kind ?? null
  }
}

function tellRest(carriedOut: CarriedOut, obstacle: Obstacle | null): string {
  const waited = obstacle === null ? '' : `; it waited for ${obstacle.text}`
  return `${waited}; it ${carriedOut === 'no' ? 'was not carried out' : 'may have been carried out'}`
}

/** The error of a call that breaks a rule of this module. */
export function misuse(rule: SqliteRule, message: string, details: Readonly<Record<string, unknown>>): UsageError {
  return new UsageError(message, { details: { rule, ...details } })
}

/** What a thread said as an error of the main thread. */
export function errorOf(failure: Failure, database: string, text: string): Error {
  const sql = shortenSql(text)
  if (failure.type === 'sqlite') {
    return new SqliteError(database, failure.errcode, failure.message, sql, adviceOn(failure.errcode, failure.message))
  }
  const { rule, message, nodeCode } = failure
  return misuse(rule, `database ${database}: ${message} (${sql})`, {
    database,
    sql,
    ...(nodeCode === undefined ? {} : { nodeCode }),
  })
}

/** The error of those who wait for a file that could not be opened. */
export function errorOfOpening(failure: Failure, database: string, path: string): Error {
  if (failure.type !== 'sqlite') return errorOf(failure, database, '')
  const advice = { text: `; the file is ${path}`, details: { path } }
  return new SqliteError(database, failure.errcode, failure.message, '', advice)
}

function adviceOn(errcode: number, message: string): Advice {
  if (isSnapshotLost(errcode)) {
    return {
      text: '; another process has written since this transaction read: repeat the transaction, or begin it with mode: "immediate"',
      details: { advice: 'repeat-transaction' },
    }
  }
  if (message.includes('within a transaction')) {
    return {
      text: '; a script runs as one transaction: leave BEGIN and COMMIT away',
      details: { advice: 'no-begin-in-script' },
    }
  }
  return NO_ADVICE
}

/** A fault of syntax quotes the text around it, and there may be a value in that. */
function withoutValues(message: string): string {
  return /^(?:near|unrecognized token)/.test(message)
    ? message.replace(/"([\s\S]*)"/, (_, quoted: string) => `"${shortenSql(quoted)}"`)
    : message
}
