import { PunctualError } from '../errors/punctual-error.ts'
import { WaitExpiredError } from '../wait/abort-reason.ts'
import { ms, tellDuration } from '../wait/duration.ts'
import { healthLine, type PoolHealth } from './pool-health.ts'

/**
 * Whose limit ran out: the wait's own, that of `withQueryLimit`, the deadline of the request or of the wait around it, or `statement_timeout` in
 * the database.
 */
export type CutBy = 'own' | 'operation' | 'deadline' | 'server'

/** How a wait for a database ran out. Times are in milliseconds. */
export interface DatabaseExpiry {
  readonly pool: string
  /** The name given to `withQueryLimit`. */
  readonly operation: string | null
  readonly limit: number
  readonly elapsed: number
  readonly cutBy: CutBy
}

/** Base of what can run out at a guarded pool. `isExpiry` is true of all of them. */
export abstract class DatabaseExpiredError extends WaitExpiredError implements DatabaseExpiry {
  static {
    DatabaseExpiredError.prototype.name = 'DatabaseExpiredError'
  }

  readonly pool: string
  readonly operation: string | null
  readonly cutBy: CutBy

  constructor(what: string, expiry: DatabaseExpiry, facts: string, cause?: unknown) {
    const { pool, operation, limit, elapsed, cutBy } = expiry
    const wait = operation === null ? `${what} of pool ${pool}` : `${operation}: ${what} of pool ${pool}`
    const because = cutBy === 'deadline' ? 'deadline' : 'limit'
    super({ wait, limit: ms(limit), elapsed: ms(elapsed), because, started: limit > 0 })
    this.message = `${wait} ${verdict(expiry)}${facts}`
    this.pool = pool
    this.operation = operation
    this.cutBy = cutBy
    if (cause !== undefined) this.cause = cause
  }
}

/** A query was not answered within its limit. It has been, or is being, cancelled on the server. */
export class QueryExpiredError extends DatabaseExpiredError {
  static {
    QueryExpiredError.prototype.name = 'QueryExpiredError'
  }

  /** The statement, shortened and without values. */
  readonly sql: string

  constructor(expiry: DatabaseExpiry, sql: string, cause?: unknown) {
    super('query', expiry, `: ${sql}`, cause)
    this.sql = sql
  }
}

/** No connection became free within the limit. */
export class AcquireExpiredError extends DatabaseExpiredError {
  static {
    AcquireExpiredError.prototype.name = 'AcquireExpiredError'
  }

  /** The pool at that moment. */
  readonly health: PoolHealth

  constructor(expiry: DatabaseExpiry, health: PoolHealth) {
    super('connection', expiry, `; ${healthLine(health)}`)
    this.health = health
  }
}

/** The database did not take a new connection within the limit. */
export class ConnectExpiredError extends DatabaseExpiredError {
  static {
    ConnectExpiredError.prototype.name = 'ConnectExpiredError'
  }

  constructor(expiry: DatabaseExpiry, address: string) {
    super('connecting', expiry, `; ${address}, or the network to it, does not answer`)
  }
}

/** The connection under a query is gone: lost, or destroyed because nobody could tell what state it was in. Not a time-out. */
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

const CUTS: Readonly<Record<CutBy, string>> = {
  own: 'its limit',
  operation: 'what was left of the operation',
  deadline: 'what was left of the deadline',
  server: 'statement_timeout in the database',
}

function verdict({ limit, elapsed, cutBy }: DatabaseExpiry): string {
  if (limit <= 0) return `was not begun: nothing was left of the ${cutBy === 'operation' ? 'operation' : 'deadline'}`
  return `ran out after ${tellDuration(elapsed)} (${CUTS[cutBy]}: ${tellDuration(limit)})`
}
