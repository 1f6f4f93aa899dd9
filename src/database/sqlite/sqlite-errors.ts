import { PunctualError, UsageError } from '../../errors/punctual-error.ts'
import { DatabaseExpiredError, type DatabaseExpiry, QueryExpiredError } from '../query-errors.ts'
import { shortenSql } from '../shorten-sql.ts'
import { isSnapshotLost, nameOfCode } from './result-codes.ts'
import type { Failure } from './thread-protocol.ts'

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

  constructor(database: string, errcode: number, message: string, sql: string, advice = '') {
    const errname = nameOfCode(errcode)
    const about = sql === '' ? '' : ` (${sql})`
    super('PUNCTUAL_SQLITE_FAILED', `database ${database}: ${withoutValues(message)} [${errname}]${about}${advice}`)
    this.database = database
    this.errcode = errcode
    this.errname = errname
    this.sql = sql
  }
}

/** Whether what ran out has been carried out. `no`: not, and not in part, so it may be repeated. `unknown`: it ran out while it was being committed. */
export type CarriedOut = 'no' | 'unknown'

/** A write was not done within its limit. */
export class WriteExpiredError extends QueryExpiredError {
  static {
    WriteExpiredError.prototype.name = 'WriteExpiredError'
  }

  readonly carriedOut: CarriedOut

  /** @param behind what it waited for, for the message */
  constructor(expiry: DatabaseExpiry, sql: string, carriedOut: CarriedOut, behind: string) {
    super(expiry, sql)
    this.carriedOut = carriedOut
    this.message += tellRest(carriedOut, behind)
  }
}

/** A transaction was not over within its limit. */
export class TransactionExpiredError extends DatabaseExpiredError {
  static {
    TransactionExpiredError.prototype.name = 'TransactionExpiredError'
  }

  readonly carriedOut: CarriedOut

  constructor(expiry: DatabaseExpiry, carriedOut: CarriedOut, behind: string) {
    super('transaction', expiry, tellRest(carriedOut, behind))
    this.carriedOut = carriedOut
  }
}

function tellRest(carriedOut: CarriedOut, behind: string): string {
  const waited = behind === '' ? '' : `; it waited for ${behind}`
  return `${waited}; it ${carriedOut === 'no' ? 'was not carried out' : 'may have been carried out'}`
}

/** What a thread said as an error of the main thread. */
export function errorOf(failure: Failure, database: string, text: string, advice: string = adviceOn(failure)): Error {
  const sql = shortenSql(text)
  switch (failure.type) {
    case 'sqlite':
      return new SqliteError(database, failure.errcode, failure.message, sql, advice)
    case 'range':
      return new UsageError(
        `database ${database}: a whole number in the answer is beyond 2^53; open the database with bigints: true, or cast the column to text (${sql})`,
      )
    case 'misuse':
      return new UsageError(`database ${database}: ${failure.message} (${sql})`)
  }
}

function adviceOn({ errcode, message }: Failure): string {
  if (isSnapshotLost(errcode)) {
    return '; another process has written since this transaction read: repeat the transaction, or begin it with mode: "immediate"'
  }
  if (message.includes('within a transaction')) {
    return '; a script runs as one transaction: leave BEGIN and COMMIT away'
  }
  return ''
}

/** A fault of syntax quotes the text around it, and there may be a value in that. */
function withoutValues(message: string): string {
  return /^(?:near|unrecognized token)/.test(message)
    ? message.replace(/"([\s\S]*)"/, (_, quoted: string) => `"${shortenSql(quoted)}"`)
    : message
}
