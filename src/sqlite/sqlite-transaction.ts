import { AsyncLocalStorage } from 'node:async_hooks'
import { DatabaseOperation } from '../database/database-operation.ts'
import { ConnectionLostError, type DatabaseTimeoutError } from '../database/query-errors.ts'
import { shortenSql } from '../query-insight/sql-text.ts'
import { isTimeout } from '../resilience/abort-reason.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import { type CallCounts, type CallQueue, lostError, type SqliteCall } from './sqlite-call.ts'
import {
  type Committed,
  errorOf,
  FILE_LOCK,
  misuse,
  type Obstacle,
  SqliteError,
  TransactionTimeoutError,
} from './sqlite-errors.ts'
import type { PoolTask, ThreadPool } from './thread-pool.ts'
import type { ThreadJob, TransactionMode } from './thread-protocol.ts'
import type { JobOutcome, ThreadSlot } from './thread-slot.ts'

export interface TransactionOptions {
  readonly database: string
  readonly timeout: Milliseconds
  readonly cancelTimeout: Milliseconds
  readonly mode: TransactionMode
  readonly writer: ThreadPool
  readonly counts: CallCounts
  /** Called when it timed out while it was open. */
  readonly onOpenTimeout: (message: string, operation: string | null) => void
}

/** Where the transaction stands on the connection. */
type Progress =
  /** It waits for the writer. */
  | 'queued'
  /** It has the writer; BEGIN runs. */
  | 'beginning'
  /** It takes calls. */
  | 'open'
  /** It takes no more calls, and commits when those it has taken have ended. */
  | 'closing'
  | 'committing'
  | 'rolling-back'
  /** It has released the writer, or never got it. */
  | 'over'

interface Waiter {
  resolve(): void
  reject(error: unknown): void
}

/** SQLITE_ABORT_ROLLBACK: SQLite has rolled the transaction back by itself. */
const ABORT_ROLLBACK = 516

/** One transaction. It has the writer for itself, and runs its calls one after the other. */
export class SqliteTransaction extends DatabaseOperation implements PoolTask, CallQueue {
  readonly #options: TransactionOptions
  readonly #calls = new Set<SqliteCall>()
  #progress: Progress = 'queued'
  #slot: ThreadSlot | null = null
  #release: ((inTransaction: boolean) => void) | null = null
  #runningCall: SqliteCall | null = null
  /** Why it can only be rolled back: it, or a call in it, was given up. */
  #fault: { readonly reason: unknown } | null = null
  #openedAt = 0
  /** Set once it has been cancelled. */
  #committed: Committed | null = null
  #onOpen: Waiter | null = null
  #onEnd: Waiter | null = null
  /** Called once, when it is given up for any reason. */
  onGiven: ((reason: unknown) => void) | null = null
  readonly #over = Promise.withResolvers<void>()

  constructor(options: TransactionOptions) {
    super(options.database, options.timeout, 'query')
    this.#options = options
  }

  override get name(): string {
    return `${this.operation ?? `pool ${this.pool}`}: transaction`
  }

  get asObstacle(): Obstacle {
    const age = monotonicNow() - (this.#openedAt || this.startedAt)
    const of = this.operation === null ? '' : ` of ${this.operation}`
    return { kind: 'transaction', text: `a transaction${of} that has been open for ${formatElapsed(age)}` }
  }

  get obstacle(): Obstacle | null {
    return this.#slot?.isLocked === true ? FILE_LOCK : null
  }

  /** Whether calls that wait for the writer wait for this transaction. */
  get holdsWriter(): boolean {
    return this.#progress !== 'queued' && this.#progress !== 'over'
  }

  /** Resolves when it has the writer and BEGIN has run. */
  open(): Promise<void> {
    const promise = new Promise<void>((resolve, reject) => {
      this.#onOpen = { resolve, reject }
    })
    if (this.begin()) this.#options.writer.enqueue(this)
    return promise
  }

  runOn(slot: ThreadSlot, release: (inTransaction: boolean) => void): void {
    this.#slot = slot
    this.#release = release
    this.#progress = 'beginning'
    this.#run({ kind: 'begin', mode: this.#options.mode }, (outcome) => {
      if (this.#committed !== null || this.#fault !== null) {
        // It was given up while BEGIN ran, or is being given up.
        this.#rollBack()
      } else if (outcome.kind === 'done') {
        this.#progress = 'open'
        this.#openedAt = monotonicNow()
        this.#onOpen?.resolve()
      } else {
        this.settle('failed')
        this.#releaseWriter(false)
        this.#onOpen?.reject(this.#errorOf(outcome, 'BEGIN'))
      }
    })
  }

  reject(error: unknown): void {
    this.#progress = 'over'
    this.settle('failed')
    this.#over.resolve()
    this.#onOpen?.reject(error)
  }

  enqueue(call: SqliteCall): void {
    if (this.#fault !== null) return call.reject(this.#fault.reason)
    if (this.#progress !== 'open') {
      const message = `a call on a transaction of database ${this.pool} that has ended; await each call in its function`
      return call.reject(misuse('transaction-over', message, { database: this.pool }))
    }
    this.#calls.add(call)
    this.#runNext()
  }

  withdraw(call: SqliteCall): void {
    this.#calls.delete(call)
  }

  /** A call in it was given up: like any statement left half done, this allows only a rollback. */
  onCallGivenUp(reason: unknown): void {
    this.#fail(reason)
  }

  /** Commits after the calls that were not awaited. Resolves when it is committed. */
  commit(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onEnd = { resolve, reject }
      const { reason } = this.#fault ?? {}
      if (this.#fault === null) {
        this.#progress = 'closing'
        this.#runNext()
      } else {
        this.settle('failed')
        void this.#over.promise.then(() => reject(reason))
      }
    })
  }

  /** Rolls it back, if it is not over. Resolves when it has released the writer. */
  rollBack(): Promise<void> {
    this.settle('failed')
    if (this.#progress !== 'over') {
      const message = `the transaction of database ${this.pool} was rolled back`
      this.#fail(misuse('transaction-rolled-back', message, { database: this.pool }))
    }
    return this.#over.promise
  }

  protected override onGivenUp(reason: unknown): void {
    const { counts, writer, onOpenTimeout } = this.#options
    this.#cancel()
    counts[isTimeout(reason) ? 'timedOut' : 'aborted']++
    if (this.#openedAt > 0 && isTimeout(reason)) onOpenTimeout((reason as Error).message, this.operation)
    if (this.#progress === 'queued') {
      this.#progress = 'over'
      writer.withdraw(this)
      this.#over.resolve()
    } else {
      this.#fail(reason)
    }
    this.#onOpen?.reject(reason)
    this.#onEnd?.reject(reason)
    this.onGiven?.(reason)
  }

  protected override timeoutError(): DatabaseTimeoutError {
    const blockedBy = this.#progress === 'queued' ? this.#options.writer.obstacle : this.obstacle
    const obstacle = this.timeout > 0 ? blockedBy : null
    return new TransactionTimeoutError(this.timeoutFacts, this.#cancel(), obstacle)
  }

  /** Its work is its function, which counts as abandoned if it outlives the transaction. */
  track(work: Promise<unknown>): void {
    this.beginWork()
    const end = (): void => this.endWork()
    work.then(end, end)
  }

  #cancel(): Committed {
    if (this.#committed !== null) return this.#committed
    // Set before: a statement that waits for a lock settles inside `cancel`.
    this.#committed = 'no'
    const runsOwnStatement = this.#progress === 'beginning' || this.#progress === 'committing'
    if (runsOwnStatement) this.#committed = this.#slot?.cancel() ?? 'no'
    return this.#committed
  }

  /** Gives up its calls, and rolls it back when the running one has ended. */
  #fail(reason: unknown): void {
    if (this.#fault !== null) return
    this.#fault = { reason }
    for (const call of [...this.#calls]) call.giveUp(reason)
    this.#runningCall?.giveUp(reason)
    this.#rollBackIfQuiet()
  }

  #rollBackIfQuiet(): void {
    const runsNothing = this.#progress === 'open' || this.#progress === 'closing'
    if (runsNothing && this.#runningCall === null) this.#rollBack()
  }

  #runNext(): void {
    const slot = this.#slot
    if (this.#runningCall !== null || slot === null) return
    if (!slot.isOpen) return this.#fail(this.#lostError())
    const [call] = this.#calls
    if (call === undefined) {
      if (this.#progress === 'closing') this.#commit()
      return
    }
    this.#calls.delete(call)
    this.#runningCall = call
    call.runOn(slot, (inTransaction) => {
      this.#runningCall = null
      if (!slot.isOpen) this.#fail(this.#lostError())
      else if (!inTransaction) this.#fail(this.#rolledBackError())
      if (this.#fault !== null) this.#rollBackIfQuiet()
      else this.#runNext()
    })
  }

  #commit(): void {
    this.#progress = 'committing'
    this.#run({ kind: 'commit' }, (outcome) => {
      if (outcome.kind === 'done') {
        this.settle('ok')
        this.#releaseWriter(false)
        this.#onEnd?.resolve()
        return
      }
      // One that was given up has its reason, or is about to get it.
      if (outcome.kind !== 'cancelled') {
        this.settle('failed')
        this.#fault ??= { reason: this.#errorOf(outcome, 'COMMIT') }
      }
      this.#rollBack()
    })
  }

  #rollBack(): void {
    this.#progress = 'rolling-back'
    if (this.#slot?.isOpen !== true) return this.#releaseWriter(false)
    const { cancelTimeout } = this.#options
    this.#run({ kind: 'rollback' }, (_, inTransaction) => this.#releaseWriter(inTransaction), cancelTimeout)
  }

  #run(job: ThreadJob, settled: (outcome: JobOutcome, inTransaction: boolean) => void, timeout?: Milliseconds): void {
    this.#slot?.run({ job, settled }, timeout ?? null)
  }

  #releaseWriter(inTransaction: boolean): void {
    this.#progress = 'over'
    this.#slot = null
    this.#release?.(inTransaction)
    this.#release = null
    this.#over.resolve()
    if (this.#fault !== null) this.#onEnd?.reject(this.#fault.reason)
  }

  #errorOf(outcome: JobOutcome, statement: string): unknown {
    if (outcome.kind === 'failed') return errorOf(outcome.failure, this.pool, statement)
    return outcome.kind === 'lost' ? lostError(outcome, this.pool, statement) : this.#lostError()
  }

  #lostError(): ConnectionLostError {
    const why = 'the thread of the transaction died, and SQLite rolled it back'
    return new ConnectionLostError(this.pool, why, undefined, { reason: 'transaction-lost' })
  }

  #rolledBackError(): SqliteError {
    return new SqliteError(this.pool, ABORT_ROLLBACK, 'SQLite rolled the transaction back after an error', '')
  }
}

/** A transaction whose function is running, and those of other databases around it. */
interface RunningTransaction {
  readonly database: object
  readonly transaction: { readonly holdsWriter: boolean }
  readonly outer: RunningTransaction | undefined
}

const runningTransaction: AsyncLocalStorage<RunningTransaction> = new AsyncLocalStorage()

/** Runs the function of a transaction. */
export function runInTransaction<T>(database: object, transaction: SqliteTransaction, run: () => T): T {
  return runningTransaction.run({ database, transaction, outer: runningTransaction.getStore() }, run)
}

/** @throws {UsageError} when the caller asks for the writer that its own transaction holds */
export function refuseInsideTransaction(database: object, sql: string): void {
  for (let inner = runningTransaction.getStore(); inner !== undefined; inner = inner.outer) {
    if (inner.database !== database || !inner.transaction.holdsWriter) continue
    const short = shortenSql(sql)
    throw misuse(
      'nested-write',
      `"${short}" would wait for the transaction it is called in; call it on the object that the function of transaction() receives`,
      { sql: short },
    )
  }
}
