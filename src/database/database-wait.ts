import { isTimeout } from '../resilience/abort-reason.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { deadlineAt } from '../resilience/deadline.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { DETACHED, WaitNode } from '../resilience/wait-node.ts'
import { surroundings } from '../resilience/wait-scope.ts'
import type { WaitOutcome, WaitRecord } from '../resilience/waits.ts'
import type { DatabaseTimeout, TimedOutBy } from './query-errors.ts'
import { currentOperation } from './query-timeout.ts'

/** How long a wait may take, and why no longer. */
interface Allowance {
  readonly limit: Milliseconds
  readonly timedOutBy: TimedOutBy
}

/**
 * A wait for a guarded pool, be it for a connection or an answer. It is part of the request, or of the `within`, it is begun in: its limit is cut to what
 * is left there, it ends with it, and it is written down in the same list of waits.
 */
export abstract class DatabaseWait extends WaitNode implements WaitRecord {
  readonly pool: string
  readonly operation: string | null
  readonly timeout: Milliseconds
  readonly timedOutBy: TimedOutBy
  outcome: WaitOutcome | null = null
  endedAt: number | null = null

  /**
   * @param own the limit of the pool
   * @param kind `query`: an operation's limit replaces the pool's; `acquire`: it can only cut it; `tidying`: belongs to nothing and is done in any case
   */
  constructor(pool: string, own: Milliseconds, kind: 'query' | 'acquire' | 'tidying') {
    const parent = kind === 'tidying' ? DETACHED : surroundings()
    const operation = kind === 'tidying' ? undefined : currentOperation()
    const now = monotonicNow()
    let { limit, timedOutBy }: Allowance = { limit: own, timedOutBy: 'own' }
    if (operation !== undefined) {
      const left = operation.deadline - now
      if (kind === 'query' || left < limit) [limit, timedOutBy] = [ms(left), 'operation']
    }
    const available = parent.available(now)
    if (available < limit) [limit, timedOutBy] = [ms(available), 'deadline']
    super(parent, now, deadlineAt(now + limit))
    this.pool = pool
    this.operation = operation?.name ?? null
    this.timeout = limit
    this.timedOutBy = timedOutBy
  }

  abstract get name(): string

  /** Nobody waits any more, for this reason. */
  protected abstract given(reason: unknown): void

  /** The error when its time is over. */
  protected abstract expired(): unknown

  /** Starts the clock. A wait for which there is no time, or whose surroundings are over, is given up at once. */
  protected begin(): void {
    const parent = this.parent as WaitNode
    this.home?.waits.begin(this)
    if (parent.reason !== undefined) return this.#refuse(parent.reason)
    if (this.timeout <= 0) return this.#refuse(this.expired())
    this.join()
    this.wheel.set(this, this.deadline, true, this.startedAt)
  }

  /** It is over. Later calls change nothing. */
  protected finish(outcome: WaitOutcome): void {
    if (this.outcome !== null) return
    this.outcome = outcome
    this.wheel.cancel(this)
    this.leave()
    if (this.home === null) return
    this.endedAt = monotonicNow()
    this.home.waits.end(this)
  }

  override expire(): void {
    this.giveUp(this.expired())
  }

  override giveUp(reason: unknown): void {
    if (this.outcome !== null) return
    super.giveUp(reason)
    this.finish(isTimeout(reason) ? 'timed-out' : 'aborted')
    this.given(reason)
  }

  protected get expiry(): DatabaseTimeout {
    const { pool, operation, timeout, timedOutBy } = this
    return { pool, operation, timeout, timedOutBy, elapsed: monotonicNow() - this.startedAt }
  }

  #refuse(reason: unknown): void {
    this.reason = reason
    this.finish('refused')
    this.given(reason)
  }
}
