import { DatabaseOperation } from '../database/database-operation.ts'
import { ConnectionLostError, QueryTimeoutError } from '../database/query-errors.ts'
import type { CountedQuery } from '../query-insight/counted-query.ts'
import { shortenSql } from '../query-insight/sql-text.ts'
import { isTimeout } from '../resilience/abort-reason.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { WaitOutcome } from '../resilience/waits.ts'
import { isReadOnly } from './result-codes.ts'
import { type Committed, errorOf, type Failure, type Obstacle, WriteTimeoutError } from './sqlite-errors.ts'
import type { PoolTask } from './thread-pool.ts'
import type { JobEnd, ScriptJob, StatementJob } from './thread-protocol.ts'
import type { JobOutcome, LostOutcome, ThreadSlot } from './thread-slot.ts'

/** Where a call waits for its slot: a pool, or the transaction it is part of. */
export interface CallQueue {
  /** What blocks its calls; null if it is only the calls ahead. */
  readonly obstacle: Obstacle | null
  enqueue(call: SqliteCall): void
  withdraw(call: SqliteCall): void
  /** The call was given up, queued or running. */
  onCallGivenUp?(reason: unknown): void
}

export type CallJob = StatementJob | ScriptJob

/** Counts of calls that did not end by themselves. */
export interface CallCounts {
  timedOut: number
  aborted: number
}

/** The result of a call. */
export type Answer = Extract<JobEnd, { readonly kind: 'rows' | 'changes' | 'done' }>

export interface CallOptions {
  readonly database: string
  readonly timeout: Milliseconds
  readonly job: CallJob
  /** Whether it may change data. */
  readonly writes: boolean
  readonly queue: CallQueue
  /** Where it goes when a reader refuses to write; null where that cannot happen. */
  readonly writerQueue: CallQueue | null
  readonly counts: CallCounts
  /** Called when a reader has refused to write. */
  readonly onWrites: (sql: string) => void
}

/** One call of the app. Its time runs from the call, not from when a thread takes it. */
export class SqliteCall extends DatabaseOperation implements PoolTask {
  readonly asObstacle = null
  /** Its entry in the query statistics; null if it is not counted. */
  counted: CountedQuery | null = null
  readonly #options: CallOptions
  #job: CallJob
  #writes: boolean
  #queue: CallQueue
  #slot: ThreadSlot | null = null
  #resolve: ((answer: Answer) => void) | null = null
  #reject: ((error: unknown) => void) | null = null
  /** Set once it has been cancelled. */
  #committed: Committed | null = null
  #rows = 0

  constructor(options: CallOptions) {
    super(options.database, options.timeout, 'query')
    this.#options = options
    this.#job = options.job
    this.#writes = options.writes
    this.#queue = options.queue
  }

  override get name(): string {
    return `${this.operation ?? `pool ${this.pool}`}: ${shortenSql(this.#job.sql)}`
  }

  /** Starts its timer and enters the queue. */
  start(): Promise<Answer> {
    const promise = new Promise<Answer>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    if (this.begin()) this.#queue.enqueue(this)
    return promise.catch((error: unknown) => {
      // Shows the caller's stack, not that of the timer. The reason of an abort is shared: it keeps
      // its own.
      if (error instanceof Error && (error !== this.reason || error instanceof QueryTimeoutError)) {
        Error.captureStackTrace(error)
      }
      throw error
    })
  }

  runOn(slot: ThreadSlot, release: (inTransaction: boolean) => void): void {
    this.#slot = slot
    this.beginWork()
    let movedToWriter = false
    slot.run({
      job: this.#job,
      settled: (outcome, inTransaction) => {
        this.#slot = null
        release(inTransaction)
        movedToWriter = this.#onSettled(outcome)
      },
      ended: () => {
        if (!movedToWriter) this.endWork()
      },
    })
  }

  reject(error: unknown): void {
    this.#fail(error)
  }

  protected override onGivenUp(reason: unknown): void {
    const wasRunning = this.#slot !== null
    this.#cancel()
    if (!wasRunning) this.#queue.withdraw(this)
    this.#options.counts[isTimeout(reason) ? 'timedOut' : 'aborted']++
    this.#queue.onCallGivenUp?.(reason)
    this.#rejectWith(reason)
  }

  protected override timeoutError(): QueryTimeoutError {
    const sql = shortenSql(this.#job.sql)
    if (!this.#writes) return new QueryTimeoutError(this.timeoutFacts, sql)
    const obstacle = this.timeout > 0 ? this.#queue.obstacle : null
    return new WriteTimeoutError(this.timeoutFacts, sql, this.#cancel(), obstacle)
  }

  protected override settle(outcome: WaitOutcome): boolean {
    const isFirst = super.settle(outcome)
    if (isFirst) this.counted?.ended(this.#rows, outcome !== 'ok', this.startedAt, this.endedAt ?? undefined)
    return isFirst
  }

  #cancel(): Committed {
    if (this.#committed !== null) return this.#committed
    // Set before: a call that waits for a lock settles inside `cancel`.
    this.#committed = 'no'
    const committed = this.#slot?.cancel() ?? 'no'
    // A write outside of any transaction takes effect with its last step, without a commit.
    const isUnguarded = this.#slot !== null && this.#job.transaction === 'none' && this.#writes
    this.#committed = isUnguarded ? 'unknown' : committed
    return this.#committed
  }

  /** Returns true when the call continues at the writer. */
  #onSettled(outcome: JobOutcome): boolean {
    // The caller has its error, or is about to get it.
    if (this.outcome !== null || this.#committed !== null) return false
    switch (outcome.kind) {
      case 'rows':
      case 'changes':
      case 'done':
        this.#rows = rowsOf(outcome)
        this.settle('ok')
        this.#resolve?.(outcome)
        this.#forget()
        break
      case 'failed':
        if (this.#moveToWriter(outcome.failure)) return true
        this.#fail(errorOf(outcome.failure, this.pool, this.#job.sql))
        break
      case 'lost':
        this.#fail(lostError(outcome, this.pool, this.#job.sql))
        break
      default:
        this.#fail(new ConnectionLostError(this.pool, `its thread replied ${outcome.kind}`))
    }
    return false
  }

  /** Moves a call that a reader has refused, before doing anything, because it writes. */
  #moveToWriter(failure: Failure): boolean {
    const { writerQueue, onWrites } = this.#options
    if (writerQueue === null || this.#queue === writerQueue || failure.type !== 'sqlite') return false
    if (!isReadOnly(failure.errcode)) return false
    onWrites(this.#job.sql)
    this.#writes = true
    this.#queue = writerQueue
    this.#job = { ...this.#job, transaction: 'own' }
    this.requeueWork()
    writerQueue.enqueue(this)
    return true
  }

  #fail(error: unknown): void {
    this.settle('failed')
    this.#rejectWith(error)
  }

  #rejectWith(error: unknown): void {
    this.#reject?.(error)
    this.#forget()
  }

  /** Frees what it holds: the waits of a request may keep it for long. */
  #forget(): void {
    this.#resolve = null
    this.#reject = null
    const { kind, sql, transaction } = this.#job
    this.#job = kind === 'script' ? { kind, sql, transaction } : { ...this.#job, kind, parameters: [] }
  }
}

/** The error of a statement whose thread was lost, and its effects with it. */
export function lostError({ reason, why }: LostOutcome, pool: string, text: string): ConnectionLostError {
  const sql = shortenSql(text)
  return new ConnectionLostError(pool, `${why}, running: ${sql}`, undefined, { reason, sql })
}

function rowsOf(answer: Answer): number {
  if (answer.kind === 'rows') return answer.rows.length
  return answer.kind === 'changes' ? Number(answer.changes) : 0
}
