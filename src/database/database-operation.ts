import { BoundedOperation } from '../resilience/bounded-operation.ts'
import { deadlineAt, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { ROOT } from '../resilience/wait-node.ts'
import { currentParent } from '../resilience/wait-scope.ts'
import type { DatabaseTimeout, TimedOutBy } from './query-errors.ts'
import { currentOperation } from './query-timeout.ts'

/**
 * A bounded operation on a database: a query, a transaction, or the wait for a connection. Its
 * timeout is its own, that of the `withQueryTimeout` around it, or what is left of the deadline.
 */
export abstract class DatabaseOperation extends BoundedOperation {
  readonly pool: string
  /** The name given to `withQueryTimeout`. */
  readonly operation: string | null
  readonly timedOutBy: TimedOutBy

  /**
   * @param own the timeout that the pool sets
   * @param kind `query`: the timeout of `withQueryTimeout` replaces `own`. `acquire`: it can only
   *   shorten it. `cleanup`: belongs to no request, so that it runs when the request has ended.
   */
  constructor(pool: string, own: Milliseconds, kind: 'query' | 'acquire' | 'cleanup') {
    const parent = kind === 'cleanup' ? ROOT : currentParent()
    const operation = kind === 'cleanup' ? undefined : currentOperation()
    const now = monotonicNow()
    let timeout = own
    let timedOutBy: TimedOutBy = 'own'
    if (operation !== undefined) {
      const left = ms(operation.deadline - now)
      if (kind === 'query' || left < timeout) [timeout, timedOutBy] = [left, 'operation']
    }
    const available = ms(parent.available(now))
    if (available < timeout) [timeout, timedOutBy] = [available, 'deadline']
    super(parent, now, deadlineAt(now + timeout), timeout)
    this.pool = pool
    this.operation = operation?.name ?? null
    this.timedOutBy = timedOutBy
  }

  /** Starts the timer. False: the operation was refused, and its caller has been told. */
  protected begin(): boolean {
    if (!this.admit(this.timeout > 0)) return false
    this.startTimer()
    return true
  }

  protected override get abandonedName(): string {
    return this.operation ?? `pool ${this.pool}`
  }

  /** The facts of a timeout error that is created now. */
  protected get timeoutFacts(): DatabaseTimeout {
    const { pool, operation, timeout, timedOutBy } = this
    return { pool, operation, timeout, timedOutBy, elapsed: monotonicNow() - this.startedAt }
  }
}
