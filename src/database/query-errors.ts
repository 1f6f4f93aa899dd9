import { PunctualError } from '../errors/punctual-error.ts'
import { WaitTimeoutError } from '../resilience/abort-reason.ts'
import { formatElapsed, ms } from '../resilience/duration.ts'

/**
 * Whose limit ran out: the wait's own, that of `withQueryTimeout`, the deadline of the request or
 * of the wait around it, or `statement_timeout` in the database.
 */
export type TimedOutBy = 'own' | 'operation' | 'deadline' | 'server'

/** How a wait for a database ran out. Times are in milliseconds. */
export interface DatabaseTimeout {
  readonly pool: string
  /** The name given to `withQueryTimeout`. */
  readonly operation: string | null
  readonly timeout: number
  readonly elapsed: number
  readonly timedOutBy: TimedOutBy
}

/** Base of what can run out at a guarded pool. `isTimeout` is true of all of them. */
export abstract class DatabaseTimeoutError extends WaitTimeoutError implements DatabaseTimeout {
  static {
    DatabaseTimeoutError.prototype.name = 'DatabaseTimeoutError'
  }

  readonly pool: string
  readonly operation: string | null
  readonly timedOutBy: TimedOutBy

  constructor(what: string, expiry: DatabaseTimeout, facts: string, cause?: unknown) {
    const { pool, operation, timeout: limit, elapsed, timedOutBy } = expiry
    const wait = operation === null ? `${what} of pool ${pool}` : `${operation}: ${what} of pool ${pool}`
    const because = timedOutBy === 'deadline' ? 'deadline' : 'timeout'
    super({ wait, timeout: ms(limit), elapsed: ms(elapsed), because, started: limit > 0 })
    this.message = `${wait} ${verdict(expiry)}${facts}`
    this.pool = pool
    this.operation = operation
    this.timedOutBy = timedOutBy
    if (cause !== undefined) this.cause = cause
  }
}

/** A query was not answered within its limit. It has been, or is being, cancelled on the server. */
export class QueryTimeoutError extends DatabaseTimeoutError {
  static {
    QueryTimeoutError.prototype.name = 'QueryTimeoutError'
  }

  /** The statement, shortened and without values. */
  readonly sql: string

  constructor(expiry: DatabaseTimeout, sql: string, cause?: unknown) {
    super('query', expiry, `: ${sql}`, cause)
    this.sql = sql
  }
}

/**
 * The connection under a query is gone: lost, or destroyed because nobody could tell what state it
 * was in. Not a time-out.
 */
export class ConnectionLostError extends PunctualError {
  static {
    ConnectionLostError.prototype.name = 'ConnectionLostError'
  }

  readonly pool: string

  constructor(pool: string, why: string, cause?: unknown, details?: Readonly<Record<string, unknown>>) {
    super('PUNCTUAL_CONNECTION_LOST', `a connection of pool ${pool} is gone: ${why}`, {
      cause,
      ...(details === undefined ? {} : { details }),
    })
    this.pool = pool
  }
}

const CUTS: Readonly<Record<TimedOutBy, string>> = {
  own: 'its limit',
  operation: 'what was left of the operation',
  deadline: 'what was left of the deadline',
  server: 'statement_timeout in the database',
}

function verdict({ timeout: limit, elapsed, timedOutBy }: DatabaseTimeout): string {
  if (limit <= 0)
    return `was not begun: nothing was left of the ${timedOutBy === 'operation' ? 'operation' : 'deadline'}`
  return `ran out after ${formatElapsed(elapsed)} (${CUTS[timedOutBy]}: ${formatElapsed(limit)})`
}
