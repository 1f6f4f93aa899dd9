import { BoundedOperation } from '../resilience/bounded-operation.ts'
import { deadlineAt, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { ROOT } from '../resilience/wait-node.ts'
import { CLEAN_UP_TIMEOUT, currentParent } from '../resilience/wait-scope.ts'
import type { DatabaseTimeout, TimedOutBy } from './query-errors.ts'
import { currentOperation, isCleaningUp, type Operation } from './query-timeout.ts'

/**
 * A bounded operation on a database: a query, a transaction, or the wait for a connection. Its
 * timeout is its own, that of the `withQueryTimeout` around it, or what is left of the deadline.
 */
export abstract class DatabaseOperation extends BoundedOperation {
  readonly pool: string
  /** The name given to `withQueryTimeout`. */
  readonly operation: string | null
  timedOutBy: TimedOutBy
  readonly #operation: Operation | undefined
  /** Its timeout without the deadline around it, and what set that. */
  readonly #own: Milliseconds
  readonly #ownTimedOutBy: TimedOutBy

  /**
   * @param own the timeout that the pool sets
   * @param kind `query`: the timeout of `withQueryTimeout` replaces `own`. `session`: the same, on
   *   a connection that its caller has checked out and may have to clean up. `acquire`: it can
   *   only shorten it. `cleanup`: belongs to no request, so that it runs when the request has
   *   ended.
   */
  constructor(pool: string, own: Milliseconds, kind: 'query' | 'session' | 'acquire' | 'cleanup') {
    const parent = kind === 'cleanup' ? ROOT : currentParent()
    const operation = kind === 'cleanup' ? undefined : currentOperation()
    const now = monotonicNow()
    let timeout = own
    let timedOutBy: TimedOutBy = 'own'
    if (operation !== undefined) {
      const cleansUp = kind === 'session' && isCleaningUp(operation, now)
      const left = cleansUp ? CLEAN_UP_TIMEOUT : ms(operation.deadline - now)
      if (kind !== 'acquire' || left < timeout) [timeout, timedOutBy] = [left, 'operation']
    }
    const [ownTimeout, ownTimedOutBy] = [timeout, timedOutBy]
    const available = ms(parent.available(now))
    if (available < timeout) [timeout, timedOutBy] = [available, 'deadline']
    super(parent, now, deadlineAt(now + timeout), timeout)
    this.pool = pool
    this.operation = operation?.name ?? null
    this.#operation = operation
    this.timedOutBy = timedOutBy
    this.#own = ownTimeout
    this.#ownTimedOutBy = ownTimedOutBy
  }

  protected override get ownTimeout(): number {
    return this.#own
  }

  protected override onTimeout(error: unknown, outcome: 'timed-out' | 'refused'): void {
    if (this.#operation !== undefined && this.timedOutBy === 'operation') this.#operation.expired = true
    super.onTimeout(error, outcome)
  }

  protected override onExtended(): void {
    if (this.timeout >= this.#own) this.timedOutBy = this.#ownTimedOutBy
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
