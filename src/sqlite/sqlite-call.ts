import { DatabaseOperation } from '../database/database-operation.ts'
import { ConnectionLostError, QueryTimeoutError } from '../database/query-errors.ts'
import { shortenSql } from '../database/shorten-sql.ts'
import type { CountedQuery } from '../query-insight/counted-query.ts'
import { isTimeout } from '../resilience/abort-reason.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { WaitOutcome } from '../resilience/waits.ts'
import type { Turn } from './lane.ts'
import { isReadOnly } from './result-codes.ts'
import type { LostOutcome, Outcome, Seat } from './seat.ts'
import { type CarriedOut, errorOf, type Failure, type Obstacle, WriteTimeoutError } from './sqlite-errors.ts'
import type { JobEnd, ScriptJob, StatementJob } from './thread-protocol.ts'

/** Where a call waits for its turn: a lane, or the transaction it is part of. */
export interface CallHome {
  /** What keeps its calls waiting; null if that is nothing in particular. */
  readonly obstacle: Obstacle | null
  enqueue(call: SqliteCall): void
  withdraw(call: SqliteCall): void
  /** It was given up, for this reason, while waiting or while it ran. */
  gaveUp?(reason: unknown): void
}

export type CallJob = StatementJob | ScriptJob

/** What a call counts as when it ends badly. */
export interface CallCounts {
  timedOut: number
  aborted: number
}

/** What ends a call well. */
export type Answer = Extract<JobEnd, { readonly kind: 'rows' | 'changes' | 'done' }>

export interface CallOptions {
  readonly database: string
  readonly limit: Milliseconds
  readonly job: CallJob
  /** Whether it may change anything. */
  readonly writes: boolean
  readonly home: CallHome
  /** Where it goes when a reader finds that it writes. */
  readonly writer: CallHome | null
  readonly counts: CallCounts
  /** It turned out to write. */
  readonly onWrites: (sql: string) => void
}

/** One call, from the caller's to the moment its caller is told. The clock runs from the call, not from when a thread takes it. */
export class SqliteCall extends DatabaseOperation implements Turn {
  readonly occupation = null
  /** Who is told when it ends; null where it does not count. */
  counted: CountedQuery | null = null
  readonly #options: CallOptions
  #job: CallJob
  #writes: boolean
  #home: CallHome
  #seat: Seat | null = null
  #resolve: ((answer: Answer) => void) | null = null
  #reject: ((error: unknown) => void) | null = null
  /** What is known of a call that was stopped; null while it was not. */
  #carriedOut: CarriedOut | null = null
  #rows = 0

  constructor(options: CallOptions) {
    super(options.database, options.limit, 'query')
    this.#options = options
    this.#job = options.job
    this.#writes = options.writes
    this.#home = options.home
  }

  override get name(): string {
    return `${this.operation ?? `pool ${this.pool}`}: ${shortenSql(this.#job.sql)}`
  }

  /** Starts the clock and gets in line. */
  start(): Promise<Answer> {
    const promise = new Promise<Answer>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    if (this.begin()) this.#home.enqueue(this)
    return promise.catch((error: unknown) => {
      // The trace of whoever asked, instead of the timer's or the thread's. The reason of an abort is shared, and keeps what it has.
      if (error instanceof Error && (error !== this.reason || error instanceof QueryTimeoutError)) {
        Error.captureStackTrace(error)
      }
      throw error
    })
  }

  serve(seat: Seat, release: (inTransaction: boolean) => void): void {
    this.#seat = seat
    this.beginWork()
    let goesOn = false
    seat.run({
      job: this.#job,
      settled: (outcome, inTransaction) => {
        this.#seat = null
        release(inTransaction)
        goesOn = this.#settled(outcome)
      },
      ended: () => {
        if (!goesOn) this.endWork()
      },
    })
  }

  reject(error: unknown): void {
    this.#fail(error)
  }

  protected override onGivenUp(reason: unknown): void {
    const running = this.#seat !== null
    this.#stop()
    if (!running) this.#home.withdraw(this)
    this.#options.counts[isTimeout(reason) ? 'timedOut' : 'aborted']++
    this.#home.gaveUp?.(reason)
    this.#tell(reason)
  }

  protected override timeoutError(): QueryTimeoutError {
    const sql = shortenSql(this.#job.sql)
    if (!this.#writes) return new QueryTimeoutError(this.timeoutFacts, sql)
    const obstacle = this.timeout > 0 ? this.#home.obstacle : null
    return new WriteTimeoutError(this.timeoutFacts, sql, this.#stop(), obstacle)
  }

  protected override settle(outcome: WaitOutcome): boolean {
    const isFirst = super.settle(outcome)
    if (isFirst) this.counted?.ended(this.#rows, outcome !== 'ok', this.startedAt, this.endedAt ?? undefined)
    return isFirst
  }

  #stop(): CarriedOut {
    if (this.#carriedOut !== null) return this.#carriedOut
    // A call that waits for a lock is settled while it is stopped, and must know by then that it was.
    this.#carriedOut = 'no'
    const known = this.#seat?.stop() ?? 'no'
    // What runs in no transaction of its own is committed when its last step is done, without asking.
    const loose = this.#seat !== null && this.#job.guard === 'bare' && this.#writes
    this.#carriedOut = loose ? 'unknown' : known
    return this.#carriedOut
  }

  /** True when the call goes on at the writer. */
  #settled(outcome: Outcome): boolean {
    // Its caller has been told, or is being told.
    if (this.outcome !== null || this.#carriedOut !== null) return false
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
        if (this.#goToWriter(outcome.failure)) return true
        this.#fail(errorOf(outcome.failure, this.pool, this.#job.sql))
        break
      case 'lost':
        this.#fail(lostError(outcome, this.pool, this.#job.sql))
        break
      default:
        this.#fail(new ConnectionLostError(this.pool, `its thread answered ${outcome.kind}`))
    }
    return false
  }

  /** A reader has refused to write. Nothing was done yet. */
  #goToWriter(failure: Failure): boolean {
    const { writer, onWrites } = this.#options
    if (writer === null || this.#home === writer || failure.type !== 'sqlite') return false
    if (!isReadOnly(failure.errcode)) return false
    onWrites(this.#job.sql)
    this.#writes = true
    this.#home = writer
    this.#job = { ...this.#job, guard: 'atomic' }
    this.deferWork()
    writer.enqueue(this)
    return true
  }

  #fail(error: unknown): void {
    this.settle('failed')
    this.#tell(error)
  }

  #tell(error: unknown): void {
    this.#reject?.(error)
    this.#forget()
  }

  /** A record may stay in a list of waits for long after. */
  #forget(): void {
    this.#resolve = null
    this.#reject = null
    const { kind, sql, guard } = this.#job
    this.#job = kind === 'script' ? { kind, sql, guard } : { ...this.#job, kind, parameters: [] }
  }
}

/** The thread of a statement is gone, and with it what it did. */
export function lostError({ reason, why }: LostOutcome, pool: string, text: string): ConnectionLostError {
  const sql = shortenSql(text)
  return new ConnectionLostError(pool, `${why}, under: ${sql}`, undefined, { reason, sql })
}

function rowsOf(answer: Answer): number {
  if (answer.kind === 'rows') return answer.rows.length
  return answer.kind === 'changes' ? Number(answer.changes) : 0
}
