import { type DatabaseTimeout, DatabaseTimeoutError } from '../database/query-errors.ts'
import { healthLine, type PoolHealth } from './pool-health.ts'

/** No connection became free within the limit. */
export class AcquireTimeoutError extends DatabaseTimeoutError {
  static {
    AcquireTimeoutError.prototype.name = 'AcquireTimeoutError'
  }

  /** The pool at that moment. */
  readonly health: PoolHealth

  constructor(expiry: DatabaseTimeout, health: PoolHealth) {
    super('connection', expiry, `; ${healthLine(health)}`)
    this.health = health
  }
}

/** The database did not take a new connection within the limit. */
export class ConnectTimeoutError extends DatabaseTimeoutError {
  static {
    ConnectTimeoutError.prototype.name = 'ConnectTimeoutError'
  }

  constructor(expiry: DatabaseTimeout, address: string) {
    super('connecting', expiry, `; ${address}, or the network to it, does not answer`)
  }
}
