import { ConnectionLostError } from '../database/query-errors.ts'
import { countQuery } from '../query-insight/count-query.ts'
import { after } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import { waitAtMost } from '../resilience/wait-at-most.ts'
import { callWithin } from '../resilience/wait-scope.ts'
import { type Answer, type CallJob, SqliteCall } from './sqlite-call.ts'
import { errorOfOpening } from './sqlite-errors.ts'
import {
  type SqliteEvent,
  type SqliteEventType,
  type SqliteHealth,
  type SqlitePoolHealth,
  sqliteLevel,
} from './sqlite-health.ts'
import type { SqliteSettings } from './sqlite-options.ts'
import { refuseInsideTransaction, SqliteTransaction } from './sqlite-transaction.ts'
import { sendable } from './sqlite-values.ts'
import { checkScript, checkStatement, type StatementKind } from './statement-kind.ts'
import { ThreadPool, type ThreadPoolEvents, type ThreadPoolOptions } from './thread-pool.ts'
import type { ResultKind, TransactionMode } from './thread-protocol.ts'
import { ABANDON_TEXT, type AbandonReason, type JobOutcome } from './thread-slot.ts'

/** A call of the app. */
export interface SqliteQuery {
  readonly sql: string
  readonly parameters?: unknown
  /** `script`: any number of statements, without parameters or result. */
  readonly result: ResultKind | 'script'
  /** The transaction it is part of. */
  readonly transaction?: SqliteTransaction | undefined
  /** Gives the call up when it is aborted. */
  readonly signal?: AbortSignal | undefined
}

type Role = 'writer' | 'reader'

/** Why a database takes no calls. */
const CLOSED = {
  'database-closed': 'the database has been closed',
  'memory-lost': 'its thread was lost, and the data in memory with it',
} as const

const NO_PARAMETERS: readonly never[] = []
/** How many statements that start like a read, and write, are remembered. */
const MAX_KNOWN_WRITES = 1_000

/** One database: sends each call to the writer or the readers, and replaces lost threads. */
export class SqliteEngine {
  readonly settings: SqliteSettings
  readonly #writer: ThreadPool
  readonly #readers: ThreadPool
  readonly #counts = { timedOut: 0, aborted: 0, busyRetries: 0, replaced: 0 }
  readonly #knownWrites = new Set<string>()
  /** Empty until the file has been opened. */
  #journalMode = ''
  /** Abandoned threads that have not exited yet. */
  #abandoned = 0
  /** Null while it takes calls. */
  #closedBecause: keyof typeof CLOSED | null = null
  #closing: Promise<void> | null = null

  constructor(settings: SqliteSettings) {
    this.settings = settings
    this.#writer = new ThreadPool(1, this.#poolOptions('writer'), this.#poolEvents('writer'))
    this.#readers = new ThreadPool(settings.readers, this.#poolOptions('reader'), this.#poolEvents('reader'))
    this.#writer.openEarly()
  }

  /** Runs a call. Rejects as described at `SqliteDatabase`. */
  async run(query: SqliteQuery): Promise<Answer> {
    const { sql, result, transaction, signal } = query
    // A transaction that was open before the database was closed runs to its end.
    if (transaction === undefined) this.#checkOpen()
    const { name, queryTimeout } = this.settings
    const check = result === 'script' ? checkScript : checkStatement
    const kind = check(sql, name, transaction !== undefined)
    const byReader = transaction === undefined && this.#isForReader(kind, query)
    if (transaction === undefined && !byReader) refuseInsideTransaction(this, sql)
    const job = this.#jobOf(query, kind, byReader)
    const create = (): SqliteCall =>
      new SqliteCall({
        database: name,
        timeout: queryTimeout,
        job,
        writes: kind !== 'read' && !byReader,
        queue: transaction ?? (byReader ? this.#readers : this.#writer),
        writerQueue: byReader ? this.#writer : null,
        counts: this.#counts,
        onWrites: (text) => {
          if (this.#knownWrites.size < MAX_KNOWN_WRITES) this.#knownWrites.add(text)
        },
      })
    const call = transaction === undefined ? create() : callWithin(transaction, create)
    call.counted = countQuery(sql, query.parameters, name, false, call.startedAt, call.home)
    const refusal = call.counted?.inTest?.refusal ?? null
    if (refusal !== null) {
      call.counted?.ended(0, true, call.startedAt)
      throw refusal
    }
    return signal === undefined ? call.start() : startWithSignal(call, signal)
  }

  newTransaction(mode: TransactionMode, timeout: Milliseconds): SqliteTransaction {
    this.#checkOpen()
    const { name, cancelTimeout } = this.settings
    refuseInsideTransaction(this, 'a transaction')
    return new SqliteTransaction({
      database: name,
      timeout,
      cancelTimeout,
      mode,
      writer: this.#writer,
      counts: this.#counts,
      onOpenTimeout: (message, operation) => this.#emit('transaction-timeout', 'warn', message, { operation }),
    })
  }

  health(): SqliteHealth {
    const { name, path } = this.settings
    const [writer, readers] = [poolHealth(this.#writer), poolHealth(this.#readers)]
    const longestWait = Math.max(writer.longestWait, readers.longestWait)
    return {
      name,
      path,
      level: sqliteLevel(longestWait, this.#abandoned, this.#isDataLost),
      journalMode: this.#journalMode,
      writer,
      readers,
      abandoned: this.#abandoned,
      counts: { ...this.#counts },
    }
  }

  close(): Promise<void> {
    this.#closedBecause ??= 'database-closed'
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { name, closeTimeout, cancelTimeout } = this.settings
    const pools = [this.#readers, this.#writer]
    const stopTimer = after(closeTimeout, () => {
      const why = `it did not finish within ${formatElapsed(closeTimeout)} after the database was closed`
      const details = { reason: 'close-timeout', timeout: closeTimeout }
      const error = new ConnectionLostError(name, why, undefined, details)
      for (const pool of pools) pool.giveUpAll(error)
    })
    await Promise.all(pools.map((pool) => pool.whenIdle()))
    stopTimer()
    // The writer closes last: only the last connection that can write merges the log into the file.
    for (const pool of pools) await waitAtMost(cancelTimeout, pool.close())
  }

  #isForReader(kind: StatementKind, { sql, result }: SqliteQuery): boolean {
    if (this.#readers.size === 0 || result === 'changes' || result === 'script') return false
    return kind === 'read' || (kind === 'maybe-write' && !this.#knownWrites.has(sql))
  }

  #jobOf({ sql, parameters, result, transaction: open }: SqliteQuery, kind: StatementKind, byReader: boolean): CallJob {
    const needsNone = byReader || kind === 'no-transaction' || (kind === 'read' && result !== 'changes')
    const transaction = open !== undefined ? 'open' : needsNone ? 'none' : 'own'
    if (result === 'script') return { kind: 'script', sql, transaction }
    const values = parameters === undefined ? NO_PARAMETERS : sendable(parameters, this.settings.name, sql)
    return { kind: 'statement', sql, parameters: values, transaction, result }
  }

  #checkOpen(): void {
    if (this.#closedBecause !== null) throw this.#closedError(this.#closedBecause)
  }

  #closedError(reason: keyof typeof CLOSED): ConnectionLostError {
    return new ConnectionLostError(this.settings.name, CLOSED[reason], undefined, { reason })
  }

  #poolOptions(role: Role): ThreadPoolOptions {
    const { name, path, synchronous, bigints, statementCacheSize, cancelTimeout, openTimeout } = this.settings
    const isWriter = role === 'writer'
    return {
      thread: { path, readOnly: !isWriter, synchronous, bigints, statementCacheSize },
      threadName: `${name} ${role}`,
      cancelTimeout,
      openTimeout,
      mayStartThread: () => this.#mayStartThread,
      mayOpen: () => isWriter || this.#isFileOpened(),
      // A reader can neither create nor recover the file, so the writer opens it first.
      neededElsewhere: () => isWriter && this.#journalMode === '' && this.#readers.queued > 0,
      openError: (outcome) => this.#openError(outcome, isWriter),
    }
  }

  #poolEvents(role: Role): ThreadPoolEvents {
    const { name } = this.settings
    return {
      opened: (journalMode) => {
        if (role === 'writer') this.#onFileOpened(journalMode)
      },
      abandoned: (reason, exited) => this.#onAbandoned(role, reason, exited),
      crashed: (why) => {
        const message = `database ${name}: a ${role} thread died: ${why}; another thread replaces it`
        this.#emit('thread-crashed', 'error', message, { role, replaced: true })
        this.#onReplaced(role)
      },
      retried: () => {
        this.#counts.busyRetries++
      },
    }
  }

  get #mayStartThread(): boolean {
    return !(this.settings.inMemory && this.#isDataLost) && this.#abandoned <= this.settings.maxAbandonedThreads
  }

  get #isDataLost(): boolean {
    return this.#closedBecause === 'memory-lost' && this.#closing === null
  }

  #isFileOpened(): boolean {
    if (this.#journalMode !== '') return true
    this.#writer.openEarly()
    return false
  }

  #onFileOpened(journalMode: string): void {
    const isFirst = this.#journalMode === ''
    this.#journalMode = journalMode
    if (!isFirst) return
    const { name, inMemory } = this.settings
    if (journalMode !== 'wal' && !inMemory) {
      const why = `the file is in ${journalMode} mode and cannot be put into WAL mode, so each write blocks reads`
      this.#emit('no-wal', 'warn', `database ${name}: ${why}`, { journalMode })
    }
    this.#readers.openEarly()
  }

  #openError(outcome: JobOutcome, byWriter: boolean): unknown {
    const { name, path } = this.settings
    const error = outcome.kind === 'failed' ? errorOfOpening(outcome.failure, name, path) : this.#lostOnOpen(outcome)
    if (byWriter && this.#journalMode === '') this.#readers.refuseQueue(error)
    return error
  }

  #lostOnOpen(outcome: JobOutcome): ConnectionLostError {
    const { name, path } = this.settings
    const why = outcome.kind === 'lost' ? outcome.why : outcome.kind
    return new ConnectionLostError(name, `could not open ${path}: ${why}`, undefined, { reason: 'open-failed', path })
  }

  #onAbandoned(role: Role, reason: AbandonReason, exited: Promise<void>): void {
    const { name, maxAbandonedThreads, cancelTimeout } = this.settings
    this.#abandoned++
    const within = reason === 'not-cancelled' ? ` within ${formatElapsed(cancelTimeout)}` : ''
    const what = `a ${role} thread ${ABANDON_TEXT[reason]}${within} and was abandoned`
    const replaced = this.#mayStartThread
    const next = replaced
      ? 'another thread replaces it'
      : `it is replaced when one of ${this.#abandoned} has exited (maxAbandonedThreads: ${maxAbandonedThreads})`
    const details = { role, reason, replaced, abandoned: this.#abandoned }
    this.#emit('thread-abandoned', 'error', `database ${name}: ${what}; ${next}`, details)
    this.#onReplaced(role)
    void exited.then(() => {
      this.#abandoned--
      this.#writer.openSlots()
      this.#readers.openSlots()
    })
  }

  #onReplaced(role: Role): void {
    this.#counts.replaced++
    if (role !== 'writer' || !this.settings.inMemory || this.#closedBecause !== null) return
    this.#closedBecause = 'memory-lost'
    this.#writer.refuseQueue(this.#closedError(this.#closedBecause))
  }

  #emit(
    type: SqliteEventType,
    severity: SqliteEvent['severity'],
    message: string,
    details: SqliteEvent['details'],
  ): void {
    this.settings.onEvent({ type, severity, database: this.settings.name, message, details })
  }
}

function poolHealth({ open, busy, queued, longestWait }: ThreadPool): SqlitePoolHealth {
  return { threads: open, busy, queued, longestWait }
}

function startWithSignal(call: SqliteCall, signal: AbortSignal): Promise<Answer> {
  const onAbort = (): void => call.giveUp(signal.reason)
  const answer = call.start()
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return answer.finally(() => signal.removeEventListener('abort', onAbort))
}
