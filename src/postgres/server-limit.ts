import { type Milliseconds, UNBOUNDED } from '../resilience/duration.ts'
import type { TransactionStatus } from './pg-shape.ts'
import type { ServerLimit } from './pool-options.ts'

/** Milliseconds beyond our own limit: ours comes first and is told as what it is; the server's is for when we are gone or not heard. */
const MARGIN = 1_000
/** How often PostgreSQL 14 and later looks, while a statement runs, whether its client is still there. */
const CONNECTION_CHECK = '5s'
/** PostgreSQL's largest; 0 is its word for unbounded. */
const LARGEST = 2 ** 31 - 1

/**
 * `statement_timeout` of one session.
 *
 * As a startup parameter it is refused or dropped by PgBouncer, and a `SET` through one in transaction mode lands on whichever server
 * connection is lent at that moment, and stays there for strangers. So the first statement on a connection compares the process id the client was
 * told at the start with the one that really answers. They are the same on a direct connection, where one `set_config` is all it takes.
 * They differ behind a bouncer: there it is set inside each explicit transaction (`SET LOCAL`), unless the server has a limit of its own.
 */
export class SessionLimit {
  readonly #wanted: ServerLimit
  readonly #base: number
  #mode: 'session' | 'transaction' | 'none' = 'none'
  /** In force for the session; 0 is unbounded. */
  #session = 0
  /** Set in the open transaction; -1 when it is not. */
  #local = -1

  constructor(wanted: ServerLimit, queryTimeout: Milliseconds) {
    this.#wanted = wanted
    this.#base = serverMilliseconds(queryTimeout)
  }

  /** The first statement on a connection, undefined when there is nothing to find out. */
  opening(processId: number | null): string | undefined {
    if (this.#wanted === 'none' || processId === null) return undefined
    const direct = this.#wanted === 'session' ? 'true' : this.#wanted === 'transaction' ? 'false' : `pid = ${processId}`
    // With the second setting a worker that was killed leaves no statement running.
    const session = (name: string, value: string): string => `set_config('${name}', '${value}', false)`
    const columns = [
      'direct',
      `case when direct then ${session('statement_timeout', String(this.#base))} else current_setting('statement_timeout') end as "limit"`,
      `case when direct and current_setting('client_connection_check_interval', true) = '0' then ${session('client_connection_check_interval', CONNECTION_CHECK)} end as "check"`,
    ]
    return `select ${columns.join(', ')} from (select ${direct} as direct from pg_backend_pid() as pid) as found`
  }

  /** Takes the answer to `opening`. False when no statement outside a transaction has a limit in the database. */
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

  /** What must be sent before a query with this limit; undefined when what is in force will do. It is lowered again at the end only. */
  before(limit: Milliseconds, status: TransactionStatus): string | undefined {
    if (this.#mode === 'none' || status === 'E') return undefined
    const needed = larger(serverMilliseconds(limit), this.#base)
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

  /** What must be sent before the connection goes back to the pool. */
  restore(): string | undefined {
    if (this.#mode !== 'session' || this.#session === this.#base) return undefined
    this.#session = this.#base
    return setting(this.#base, false)
  }

  /** `ReadyForQuery` said this: what was set in a transaction has ended with it. */
  noteStatus(status: TransactionStatus): void {
    if (status === 'I') this.#local = -1
  }
}

function serverMilliseconds(limit: Milliseconds): number {
  return limit === UNBOUNDED ? 0 : Math.min(Math.ceil(limit) + MARGIN, LARGEST)
}

/** Of two limits of the server, of which 0 is the largest. */
function larger(one: number, other: number): number {
  return one === 0 || other === 0 ? 0 : Math.max(one, other)
}

function setting(milliseconds: number, local: boolean): string {
  return `select set_config('statement_timeout', '${milliseconds}', ${local})`
}
