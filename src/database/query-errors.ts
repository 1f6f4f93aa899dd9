import { PunctualError } from '../errors/punctual-error.ts'
import { WaitTimeoutError } from '../resilience/abort-reason.ts'
import { formatElapsed, ms } from '../resilience/duration.ts'

/**
 * The timeout that ended an operation. `own`: that of the pool or the call. `operation`: that of
 * `withQueryTimeout`. `deadline`: the deadline of the request, or the timeout of the wait around
 * it. `server`: `statement_timeout` in the database.
 */
export type TimedOutBy = 'own' | 'operation' | 'deadline' | 'server'

/** The facts of a timeout. Durations are in milliseconds. */
export interface DatabaseTimeout {
  readonly pool: string
  /** The name given to `withQueryTimeout`. */
  readonly operation: string | null
  readonly timeout: number
  readonly elapsed: number
  readonly timedOutBy: TimedOutBy
}

/** Base class of the timeouts of databases. `isTimeout` is true for all of them. */
export abstract class DatabaseTimeoutError extends WaitTimeoutError implements DatabaseTimeout {
  static {
    DatabaseTimeoutError.prototype.name = 'DatabaseTimeoutError'
  }

  readonly pool: string
  readonly operation: string | null
  readonly timedOutBy: TimedOutBy

  /** @param rest appended to the message */
  constructor(what: string, facts: DatabaseTimeout, rest: string, cause?: unknown) {
    const { pool, operation, timeout, elapsed, timedOutBy } = facts
    const wait = operation === null ? `${what} of pool ${pool}` : `${operation}: ${what} of pool ${pool}`
    const because = timedOutBy === 'deadline' ? 'deadline' : 'timeout'
    super({ wait, timeout: ms(timeout), elapsed: ms(elapsed), because, started: timeout > 0 })
    this.message = `${wait} ${formatTimeout(facts)}${rest}`
    this.pool = pool
    this.operation = operation
    this.timedOutBy = timedOutBy
    if (cause !== undefined) this.cause = cause
  }
}

/** A query timed out. It has been cancelled on the server, or is being cancelled. */
export class QueryTimeoutError extends DatabaseTimeoutError {
  static {
    QueryTimeoutError.prototype.name = 'QueryTimeoutError'
  }

  /** The statement, shortened and without values. */
  readonly sql: string

  constructor(facts: DatabaseTimeout, sql: string, cause?: unknown) {
    super('query', facts, `: ${sql}`, cause)
    this.sql = sql
  }
}

/**
 * The connection of a query was lost, or destroyed because its state was unknown. Not a timeout.
 */
export class ConnectionLostError extends PunctualError {
  static {
    ConnectionLostError.prototype.name = 'ConnectionLostError'
  }

  readonly pool: string

  constructor(pool: string, why: string, cause?: unknown, details?: Readonly<Record<string, unknown>>) {
    super('PUNCTUAL_CONNECTION_LOST', `connection of pool ${pool} lost: ${why}`, {
      cause,
      ...(details === undefined ? {} : { details }),
    })
    this.pool = pool
  }
}

const SOURCES: Readonly<Record<TimedOutBy, string>> = {
  own: 'its timeout',
  operation: 'the remaining time of the operation',
  deadline: 'the remaining time before the deadline',
  server: 'statement_timeout of the database',
}

function formatTimeout({ timeout, elapsed, timedOutBy }: DatabaseTimeout): string {
  if (timeout > 0)
    return `timed out after ${formatElapsed(elapsed)} (${SOURCES[timedOutBy]}: ${formatElapsed(timeout)})`
  return `did not start: no time was left ${timedOutBy === 'operation' ? 'for the operation' : 'before the deadline'}`
}
