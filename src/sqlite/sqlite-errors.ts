import { type DatabaseTimeout, DatabaseTimeoutError, QueryTimeoutError } from '../database/query-errors.ts'
import { PunctualError, UsageError } from '../errors/punctual-error.ts'
import { shortenSql } from '../query-insight/sql-text.ts'
import { isSnapshotLost, nameOfCode } from './result-codes.ts'

/** The rule that a rejected call breaks: `details.rule` of its `UsageError`. */
export type SqliteRule =
  /** The statement is not a string. */
  | 'statement-type'
  /** The parameters are neither an array nor an object. */
  | 'parameters-type'
  /** SQLite has no type for a parameter. */
  | 'parameter-type'
  | 'several-statements'
  /** BEGIN, COMMIT and the like, where `transaction()` must be used. */
  | 'transaction-control'
  /** The script contains a statement that cannot run inside a transaction. */
  | 'script-not-atomic'
  /** The script ends the transaction it runs in. */
  | 'ends-transaction'
  | 'leaves-transaction-open'
  /** A write inside a transaction that is not part of it: it would wait for itself. */
  | 'nested-write'
  /** A call on a transaction that has ended. */
  | 'transaction-over'
  | 'transaction-rolled-back'
  /** An integer in the result is beyond 2^53. */
  | 'unsafe-integer'
  | 'text-too-long'
  /** `node:sqlite` rejected the call: `details.nodeCode`. */
  | 'driver'

/** An error, as the thread sends it to the main thread. */
export type Failure =
  /** SQLite's own, with its extended result code. */
  | { readonly type: 'sqlite'; readonly errcode: number; readonly message: string }
  /** The statement, its parameters or its result break a rule. */
  | { readonly type: 'misuse'; readonly rule: SqliteRule; readonly message: string; readonly nodeCode?: string }

/** What blocks a queued call. */
export interface Obstacle {
  readonly kind: 'file-lock' | 'transaction' | 'abandoned-threads'
  /** A noun phrase for a message. */
  readonly text: string
}

export const FILE_LOCK: Obstacle = { kind: 'file-lock', text: 'a lock that another connection holds on the file' }
export const ABANDONED_THREADS: Obstacle = { kind: 'abandoned-threads', text: 'queries that could not be cancelled' }

/** What to do about an error: text for the end of its message, and facts for programs. */
interface Advice {
  readonly text: string
  readonly details: { readonly advice?: 'repeat-transaction' | 'no-begin-in-script'; readonly path?: string }
}

const NO_ADVICE: Advice = { text: '', details: {} }

/** SQLite rejected a call: a constraint, an invalid statement, a file it cannot open. */
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
  /** The statement, shortened and without values; empty if the error is not about a statement. */
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

/**
 * Whether a write that timed out was committed. `no`: nothing of it was, so it may be repeated.
 * `unknown`: it timed out during the commit, or ran outside of any transaction.
 */
export type Committed = 'no' | 'unknown'

/** A write did not finish within its timeout. */
export class WriteTimeoutError extends QueryTimeoutError {
  static {
    WriteTimeoutError.prototype.name = 'WriteTimeoutError'
  }

  readonly committed: Committed
  /** What it waited for when it timed out; null if nothing blocked it. */
  readonly blockedBy: Obstacle['kind'] | null

  constructor(timeout: DatabaseTimeout, sql: string, committed: Committed, obstacle: Obstacle | null) {
    super(timeout, sql)
    this.committed = committed
    this.blockedBy = obstacle?.kind ?? null
    this.message += formatCommitted(committed, obstacle)
  }
}

/** A transaction did not finish within its timeout. */
export class TransactionTimeoutError extends DatabaseTimeoutError {
  static {
    TransactionTimeoutError.prototype.name = 'TransactionTimeoutError'
  }

  readonly committed: Committed
  /** What it waited for when it timed out; null if nothing blocked it. */
  readonly blockedBy: Obstacle['kind'] | null

  constructor(timeout: DatabaseTimeout, committed: Committed, obstacle: Obstacle | null) {
    super('transaction', timeout, formatCommitted(committed, obstacle))
    this.committed = committed
    this.blockedBy = obstacle?.kind ?? null
  }
}

function formatCommitted(committed: Committed, obstacle: Obstacle | null): string {
  const blocked = obstacle === null ? '' : `; it waited for ${obstacle.text}`
  return `${blocked}; it ${committed === 'no' ? 'was not committed' : 'may have been committed'}`
}

/** The error of a call that breaks a rule of this module. */
export function misuse(rule: SqliteRule, message: string, details: Readonly<Record<string, unknown>>): UsageError {
  return new UsageError(message, { details: { rule, ...details } })
}

/** Turns what a thread sent into an error. */
export function errorOf(failure: Failure, database: string, text: string): Error {
  const sql = shortenSql(text)
  if (failure.type === 'sqlite') {
    return new SqliteError(database, failure.errcode, failure.message, sql, adviceFor(failure.errcode, failure.message))
  }
  const { rule, message, nodeCode } = failure
  return misuse(rule, `database ${database}: ${message} (${sql})`, {
    database,
    sql,
    ...(nodeCode === undefined ? {} : { nodeCode }),
  })
}

/** The error of the calls that wait for a file that could not be opened. */
export function errorOfOpening(failure: Failure, database: string, path: string): Error {
  if (failure.type !== 'sqlite') return errorOf(failure, database, '')
  const advice = { text: `; the file is ${path}`, details: { path } }
  return new SqliteError(database, failure.errcode, failure.message, '', advice)
}

function adviceFor(errcode: number, message: string): Advice {
  if (isSnapshotLost(errcode)) {
    const why = 'another process has written since this transaction read'
    return {
      text: `; ${why}: repeat the transaction, or start it with mode: "immediate"`,
      details: { advice: 'repeat-transaction' },
    }
  }
  if (message.includes('within a transaction')) {
    return {
      text: '; a script runs as one transaction: remove BEGIN and COMMIT',
      details: { advice: 'no-begin-in-script' },
    }
  }
  return NO_ADVICE
}

/** A syntax error quotes the text around it, which may contain a value. */
function withoutValues(message: string): string {
  return /^(?:near|unrecognized token)/.test(message)
    ? message.replace(/"([\s\S]*)"/, (_, quoted: string) => `"${shortenSql(quoted)}"`)
    : message
}
