import { type Milliseconds, UNBOUNDED } from '../resilience/duration.ts'
import type { TransactionStatus } from './pg-types.ts'
import type { StatementTimeoutMode } from './pool-options.ts'

/**
 * Added to the timeout of the query in milliseconds: the server's is for a process that died or is
 * not heard.
 */
const MARGIN = 1_000
/** How often PostgreSQL 14 and later checks the client connection while a statement runs. */
const CONNECTION_CHECK = '5s'
/** The maximum of PostgreSQL, for which 0 means unbounded. */
const MAX_TIMEOUT = 2 ** 31 - 1

/**
 * Sets `statement_timeout` on one connection.
 *
 * PgBouncer refuses or drops it as a startup parameter, and a `SET` through PgBouncer in
 * transaction mode changes a server connection that other clients use. So the first statement
 * compares the process id from the start of the connection with that of the server that answers.
 * They are equal on a direct connection: one `set_config` is enough. They differ behind a
 * connection pooler: the timeout is set in each explicit transaction, unless the server has a
 * timeout of its own.
 */
export class StatementTimeout {
  readonly #wanted: StatementTimeoutMode
  readonly #base: number
  #mode: 'session' | 'transaction' | 'none' = 'none'
  /** The timeout of the session; 0 means unbounded. */
  #session = 0
  /** The timeout set in the open transaction; -1 without one. */
  #local = -1

  constructor(wanted: StatementTimeoutMode, queryTimeout: Milliseconds) {
    this.#wanted = wanted
    this.#base = serverMilliseconds(queryTimeout)
  }

  /** The first statement on a connection; undefined if none is needed. */
  opening(processId: number | null): string | undefined {
    if (this.#wanted === 'none' || processId === null) return undefined
    const direct = this.#wanted === 'session' ? 'true' : this.#wanted === 'transaction' ? 'false' : `pid = ${processId}`
    // The second setting ends the statements of a worker that was killed.
    const session = (name: string, value: string): string => `set_config('${name}', '${value}', false)`
    const check = 'client_connection_check_interval'
    const setTimeoutSql = session('statement_timeout', String(this.#base))
    const columns = [
      'direct',
      `case when direct then ${setTimeoutSql} else current_setting('statement_timeout') end as "limit"`,
      `case when direct and current_setting('${check}', true) = '0' then ${session(check, CONNECTION_CHECK)} end as "check"`,
    ]
    return `select ${columns.join(', ')} from (select ${direct} as direct from pg_backend_pid() as pid) as found`
  }

  /** Reads the result of `opening`. False if statements outside a transaction have no timeout. */
  opened(row: { readonly direct?: unknown; readonly limit?: unknown } | undefined): boolean {
    if (row?.direct === true) {
      this.#mode = 'session'
      this.#session = this.#base
      return true
    }
    if (row === undefined) return false
    const own = row.limit !== '0'
    this.#mode = own && this.#wanted !== 'transaction' ? 'none' : 'transaction'
    return own
  }

  /**
   * The statement to run before a query; undefined if the current timeout is long enough. `restore`
   * lowers it.
   */
  before(timeout: Milliseconds, status: TransactionStatus): string | undefined {
    if (this.#mode === 'none' || status === 'E') return undefined
    const needed = larger(serverMilliseconds(timeout), this.#base)
    if (status === 'T') {
      const inForce = this.#local === -1 && this.#mode === 'session' ? this.#session : this.#local
      if (larger(needed, inForce) === inForce) return undefined
      this.#local = needed
      return setting(needed, true)
    }
    if (this.#mode === 'transaction' || larger(needed, this.#session) === this.#session) return undefined
    this.#session = needed
    return setting(needed, false)
  }

  /**
   * The statement to run before the connection returns to the pool; undefined if none is needed.
   */
  restore(): string | undefined {
    if (this.#mode !== 'session' || this.#session === this.#base) return undefined
    this.#session = this.#base
    return setting(this.#base, false)
  }

  /** Notes the status of `ReadyForQuery`: a timeout set in a transaction ends with it. */
  noteStatus(status: TransactionStatus): void {
    if (status === 'I') this.#local = -1
  }
}

function serverMilliseconds(timeout: Milliseconds): number {
  return timeout === UNBOUNDED ? 0 : Math.min(Math.ceil(timeout) + MARGIN, MAX_TIMEOUT)
}

/** Returns the larger of two timeouts of the server, where 0 is the largest. */
function larger(one: number, other: number): number {
  return one === 0 || other === 0 ? 0 : Math.max(one, other)
}

function setting(milliseconds: number, local: boolean): string {
  return `select set_config('statement_timeout', '${milliseconds}', ${local})`
}
