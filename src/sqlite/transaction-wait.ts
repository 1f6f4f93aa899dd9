import { DatabaseOperation } from '../database/database-operation.ts'
import { ConnectionLostError, type DatabaseTimeoutError } from '../database/query-errors.ts'
import { isTimeout } from '../resilience/abort-reason.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import type { Lane, Turn } from './lane.ts'
import type { Outcome, Seat } from './seat.ts'
import { type CallCounts, type CallHome, lostError, type SqliteCall } from './sqlite-call.ts'
import {
  type CarriedOut,
  errorOf,
  FILE_LOCK,
  misuse,
  type Obstacle,
  SqliteError,
  TransactionTimeoutError,
} from './sqlite-errors.ts'
import type { ThreadJob, TransactionMode } from './thread-protocol.ts'

export interface TransactionOptions {
  readonly database: string
  readonly limit: Milliseconds
  readonly cancelTimeout: Milliseconds
  readonly mode: TransactionMode
  readonly lane: Lane
  readonly counts: CallCounts
  /** It was open beyond its limit. */
  readonly onTimeout: (message: string, operation: string | null) => void
}

/**
 * - `waiting`: for the writer. `beginning`: has it, has no answer to BEGIN. `open`: takes calls. `ending`: COMMIT or ROLLBACK is to follow
 *   what is under way, or does. `over`: the writer is somebody else's.
 */
type State = 'waiting' | 'beginning' | 'open' | 'ending' | 'over'

/** SQLITE_ABORT_ROLLBACK: the transaction is gone, and with it what was to be done. */
const ABORT_ROLLBACK = 516

/** One transaction: a wait that has the writer for itself, in which calls wait for each other. */
export class TransactionWait extends DatabaseOperation implements Turn, CallHome {
  readonly #options: TransactionOptions
  readonly #calls = new Set<SqliteCall>()
  #state: State = 'waiting'
  #seat: Seat | null = null
  #release: ((inTransaction: boolean) => void) | null = null
  #running: SqliteCall | null = null
  /** Why it can only be rolled back: a call in it was given up, or it was. */
  #fault: { readonly reason: unknown } | null = null
  #openedAt = 0
  #carriedOut: CarriedOut | null = null
  /** Its last statement, once that is under way. */
  #ending: 'commit' | 'rollback' | null = null
  #onOpen: { resolve(): void; reject(error: unknown): void } | null = null
  #onEnd: { resolve(): void; reject(error: unknown): void } | null = null
  /** Told once it is given up, by whatever reason. */
  onGiven: ((reason: unknown) => void) | null = null
  readonly #whenOver: Promise<void>
  #over!: () => void

  constructor(options: TransactionOptions) {
    super(options.database, options.limit, 'query')
    this.#options = options
    this.#whenOver = new Promise((resolve) => {
      this.#over = resolve
    })
  }

  override get name(): string {
    return `${this.operation ?? `pool ${this.pool}`}: transaction`
  }

  get occupation(): Obstacle {
    const age = monotonicNow() - (this.#openedAt || this.startedAt)
    const of = this.operation === null ? '' : ` of ${this.operation}`
    return { kind: 'transaction', text: `a transaction${of} that has been open for ${formatElapsed(age)}` }
  }

  /** Calls in it wait for the one before. */
  get obstacle(): Obstacle | null {
    return this.#seat?.isLocked === true ? FILE_LOCK : null
  }

  /** Whether who waits for the writer waits for this. */
  get holdsWriter(): boolean {
    return this.#state !== 'waiting' && this.#state !== 'over'
  }

  /** Resolves once it has the writer and has begun. */
  open(): Promise<void> {
    const promise = new Promise<void>((resolve, reject) => {
      this.#onOpen = { resolve, reject }
    })
    if (this.begin()) this.#options.lane.enqueue(this)
    return promise
  }

  serve(seat: Seat, release: (inTransaction: boolean) => void): void {
    this.#seat = seat
    this.#release = release
    this.#state = 'beginning'
    this.#run({ kind: 'begin', mode: this.#options.mode }, (outcome) => {
      // Given up meanwhile, or in this moment.
      if (this.#carriedOut !== null || this.#fault !== null) {
        this.#rollBack()
      } else if (outcome.kind === 'done') {
        this.#state = 'open'
        this.#openedAt = monotonicNow()
        this.#onOpen?.resolve()
      } else {
        this.settle('failed')
        this.#leave(false)
        this.#onOpen?.reject(this.#errorOf(outcome, 'BEGIN'))
      }
    })
  }

  reject(error: unknown): void {
    this.#state = 'over'
    this.settle('failed')
    this.#over()
    this.#onOpen?.reject(error)
  }

  enqueue(call: SqliteCall): void {
    if (this.#fault !== null) return call.reject(this.#fault.reason)
    if (this.#state !== 'open') {
      return call.reject(
        misuse('transaction-over', `a call in a transaction of database ${this.pool} that is over; await it inside`, {
          database: this.pool,
        }),
      )
    }
    this.#calls.add(call)
    this.#next()
  }

  withdraw(call: SqliteCall): void {
    this.#calls.delete(call)
  }

  /** A call in it was given up: as with any error that leaves a statement half done, nothing may follow but the end. */
  gaveUp(reason: unknown): void {
    this.#fail(reason)
  }

  /** Resolves once it is committed. What was begun in it and not awaited comes first. */
  commit(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onEnd = { resolve, reject }
      const { reason } = this.#fault ?? {}
      if (this.#fault === null) {
        this.#state = 'ending'
        this.#next()
      } else {
        this.settle('failed')
        void this.#whenOver.then(() => reject(reason))
      }
    })
  }

  /** Resolves once nothing of it is left, be it that it was over before. */
  rollBack(): Promise<void> {
    this.settle('failed')
    if (this.#state !== 'over') {
      this.#fail(
        misuse('transaction-rolled-back', `the transaction of database ${this.pool} was rolled back`, {
          database: this.pool,
        }),
      )
    }
    return this.#whenOver
  }

  protected override onGivenUp(reason: unknown): void {
    const { counts, lane, onTimeout } = this.#options
    this.#stop()
    counts[isTimeout(reason) ? 'timedOut' : 'aborted']++
    if (this.#openedAt > 0 && isTimeout(reason)) onTimeout((reason as Error).message, this.operation)
    if (this.#state === 'waiting') {
      this.#state = 'over'
      lane.withdraw(this)
      this.#over()
    } else {
      this.#fail(reason)
    }
    this.#onOpen?.reject(reason)
    this.#onEnd?.reject(reason)
    this.onGiven?.(reason)
  }

  protected override timeoutError(): DatabaseTimeoutError {
    const waits = this.#state === 'waiting' ? this.#options.lane.obstacle : this.obstacle
    const obstacle = this.timeout > 0 ? waits : null
    return new TransactionTimeoutError(this.timeoutFacts, this.#stop(), obstacle)
  }

  /** The work of the transaction is its function: it counts as abandoned if it goes on after the transaction. */
  track(work: Promise<unknown>): void {
    this.beginWork()
    const end = (): void => this.endWork()
    work.then(end, end)
  }

  #stop(): CarriedOut {
    if (this.#carriedOut !== null) return this.#carriedOut
    // A statement that waits for a lock is settled while it is stopped, and must know by then that it was.
    this.#carriedOut = 'no'
    const own = this.#state === 'beginning' || this.#ending === 'commit'
    if (own) this.#carriedOut = this.#seat?.stop() ?? 'no'
    return this.#carriedOut
  }

  /** It can only be rolled back, as soon as what runs in it has ended. */
  #fail(reason: unknown): void {
    if (this.#fault !== null) return
    this.#fault = { reason }
    for (const call of [...this.#calls]) call.giveUp(reason)
    this.#running?.giveUp(reason)
    this.#undo()
  }

  #undo(): void {
    const mayEnd = this.#state === 'open' || this.#state === 'ending'
    if (mayEnd && this.#running === null && this.#ending === null) this.#rollBack()
  }

  #next(): void {
    const seat = this.#seat
    if (this.#running !== null || seat === null) return
    if (!seat.isOpen) return this.#fail(this.#lost())
    for (const call of this.#calls) {
      this.#calls.delete(call)
      this.#running = call
      call.serve(seat, (inTransaction) => {
        this.#running = null
        if (!seat.isOpen) this.#fail(this.#lost())
        else if (!inTransaction) this.#fail(this.#rolledBackBySqlite())
        if (this.#fault !== null) this.#undo()
        else this.#next()
      })
      return
    }
    if (this.#state === 'ending') this.#commit()
  }

  #commit(): void {
    this.#ending = 'commit'
    this.#run({ kind: 'commit' }, (outcome) => {
      if (outcome.kind === 'done') {
        this.settle('ok')
        this.#leave(false)
        this.#onEnd?.resolve()
        return
      }
      // One that was given up has its reason already, or gets it in this moment.
      if (outcome.kind !== 'cancelled') {
        this.settle('failed')
        this.#fault ??= { reason: this.#errorOf(outcome, 'COMMIT') }
      }
      this.#rollBack()
    })
  }

  #rollBack(): void {
    this.#state = 'ending'
    this.#ending = 'rollback'
    if (this.#seat?.isOpen !== true) return this.#leave(false)
    this.#run({ kind: 'rollback' }, (_, inTransaction) => this.#leave(inTransaction), this.#options.cancelTimeout)
  }

  #run(job: ThreadJob, settled: (outcome: Outcome, inTransaction: boolean) => void, limit?: Milliseconds): void {
    this.#seat?.run({ job, settled }, limit ?? null)
  }

  /** The writer is somebody else's again. */
  #leave(inTransaction: boolean): void {
    this.#state = 'over'
    this.#seat = null
    this.#release?.(inTransaction)
    this.#release = null
    this.#over()
    if (this.#fault !== null) this.#onEnd?.reject(this.#fault.reason)
  }

  #errorOf(outcome: Outcome, statement: string): unknown {
    if (outcome.kind === 'failed') return errorOf(outcome.failure, this.pool, statement)
    return outcome.kind === 'lost' ? lostError(outcome, this.pool, statement) : this.#lost()
  }

  #lost(): ConnectionLostError {
    return new ConnectionLostError(
      this.pool,
      'the thread that had the transaction died; it was rolled back',
      undefined,
      { reason: 'transaction-lost' },
    )
  }

  #rolledBackBySqlite(): SqliteError {
    return new SqliteError(this.pool, ABORT_ROLLBACK, 'SQLite has rolled the transaction back because of an error', '')
  }
}
