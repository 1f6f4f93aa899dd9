import { ConnectionLostError } from '../database/query-errors.ts'
import { countQuery } from '../query-insight/count-query.ts'
import { after } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import { callWithin } from '../resilience/wait-scope.ts'
import { Lane, type LaneOwner } from './lane.ts'
import { ABANDON_TEXT, type AbandonReason, type Outcome } from './seat.ts'
import { type Answer, type CallJob, SqliteCall } from './sqlite-call.ts'
import { errorOfOpening } from './sqlite-errors.ts'
import type { SqliteEvent, SqliteEventType } from './sqlite-events.ts'
import { type LaneHealth, type SqliteHealth, sqliteLevel } from './sqlite-health.ts'
import type { SqliteSettings } from './sqlite-options.ts'
import { sendable } from './sqlite-values.ts'
import { checkScript, checkStatement, type StatementKind } from './statement-kind.ts'
import type { TransactionMode, Yields } from './thread-protocol.ts'
import { refuseInsideTransaction } from './transaction-context.ts'
import { TransactionWait } from './transaction-wait.ts'

/** What is asked of a database. */
export interface Question {
  readonly sql: string
  readonly parameters?: unknown
  /** `script`: any number of statements, no parameters. */
  readonly yields: Yields | 'script'
  /** The transaction it is part of. */
  readonly transaction?: TransactionWait | undefined
  /** Gives it up when it is aborted. */
  readonly signal?: AbortSignal | undefined
}

/** Why a database takes no calls. */
const OVER = {
  'database-closed': 'the database has been closed',
  'memory-lost': 'its thread is gone, and with it what was in memory',
} as const

const NO_PARAMETERS: readonly never[] = []
/** How many statements that begin like a read and write are remembered. */
const MOST_KNOWN = 1_000

/** One database: who answers what, what became of its threads, and its end. */
export class SqliteEngine {
  readonly settings: SqliteSettings
  readonly #writer: Lane
  readonly #readers: Lane
  readonly #counts: { timedOut: number; aborted: number; busyRetries: number; replaced: number } = {
    timedOut: 0,
    aborted: 0,
    busyRetries: 0,
    replaced: 0,
  }
  readonly #knownToWrite = new Set<string>()
  #journalMode = ''
  #abandoned = 0
  /** Why nothing can be asked any more. */
  #over: keyof typeof OVER | null = null
  #closing: Promise<void> | null = null

  constructor(settings: SqliteSettings) {
    this.settings = settings
    this.#writer = new Lane(this.#laneOwner('writer'), 1)
    this.#readers = new Lane(this.#laneOwner('reader'), settings.readers)
    this.#writer.warm()
  }

  /** @returns the answer; rejects as the methods of `SqliteDatabase` say */
  async ask(question: Question): Promise<Answer> {
    const { sql, yields, transaction, signal } = question
    // A transaction that was open before the database was closed goes on to its end.
    if (transaction === undefined) this.#checkOver()
    const { name, queryTimeout } = this.settings
    const check = yields === 'script' ? checkScript : checkStatement
    const kind = check(sql, name, transaction !== undefined)
    const byReader = transaction === undefined && this.#isForReader(kind, question)
    if (transaction === undefined && !byReader) refuseInsideTransaction(this, sql)
    const job = this.#jobOf(question, kind, byReader)
    const make = (): SqliteCall =>
      new SqliteCall({
        database: name,
        limit: queryTimeout,
        job,
        writes: kind !== 'read' && !byReader,
        home: transaction ?? (byReader ? this.#readers : this.#writer),
        writer: byReader ? this.#writer : null,
        counts: this.#counts,
        onWrites: (text) => {
          if (this.#knownToWrite.size < MOST_KNOWN) this.#knownToWrite.add(text)
        },
      })
    const call = transaction === undefined ? make() : callWithin(transaction, make)
    call.counted = countQuery(sql, question.parameters, name, false, call.startedAt, call.home)
    const refusal = call.counted?.inTest?.refusal ?? null
    if (refusal !== null) {
      call.counted?.ended(0, true, call.startedAt)
      throw refusal
    }
    return signal === undefined ? call.start() : startWith(call, signal)
  }

  begin(mode: TransactionMode, limit: Milliseconds): TransactionWait {
    this.#checkOver()
    const { name, cancelTimeout } = this.settings
    refuseInsideTransaction(this, 'a transaction')
    return new TransactionWait({
      database: name,
      limit,
      cancelTimeout,
      mode,
      lane: this.#writer,
      counts: this.#counts,
      onTimeout: (message, operation) => this.#tell('transaction-expired', 'warn', message, { operation }),
    })
  }

  health(): SqliteHealth {
    const { name, path } = this.settings
    const [writer, readers] = [laneHealth(this.#writer), laneHealth(this.#readers)]
    const longestWait = Math.max(writer.longestWait, readers.longestWait)
    return {
      name,
      path,
      level: sqliteLevel(longestWait, this.#abandoned, this.#over !== null && this.#closing === null),
      journalMode: this.#journalMode,
      writer,
      readers,
      abandoned: this.#abandoned,
      counts: { ...this.#counts },
    }
  }

  close(): Promise<void> {
    this.#over ??= 'database-closed'
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { name, closeTimeout, cancelTimeout } = this.settings
    const lanes = [this.#readers, this.#writer]
    const stop = after(closeTimeout, () => {
      const reason = new ConnectionLostError(
        name,
        `it was not done ${formatElapsed(closeTimeout)} after the database was closed`,
        undefined,
        { reason: 'close-limit', limit: closeTimeout },
      )
      for (const lane of lanes) lane.giveUpAll(reason)
    })
    await Promise.all(lanes.map((lane) => lane.whenIdle()))
    stop()
    // The writer last: only the last connection that may write puts the log back into the file and removes it.
    for (const lane of lanes) await orAfter(cancelTimeout, Promise.all(lane.close()))
  }

  #isForReader(kind: StatementKind, { sql, yields }: Question): boolean {
    if (this.#readers.seats === 0 || yields === 'changes' || yields === 'script') return false
    return kind === 'read' || (kind === 'mixed' && !this.#knownToWrite.has(sql))
  }

  #jobOf({ sql, parameters, yields, transaction }: Question, kind: StatementKind, byReader: boolean): CallJob {
    const bare = byReader || kind === 'bare' || (kind === 'read' && yields !== 'changes')
    const guard = transaction === undefined ? (bare ? 'bare' : 'atomic') : 'inside'
    if (yields === 'script') return { kind: 'script', sql, guard }
    const values = parameters === undefined ? NO_PARAMETERS : sendable(parameters, this.settings.name, sql)
    return { kind: 'statement', sql, parameters: values, guard, yields }
  }

  #checkOver(): void {
    if (this.#over !== null) throw this.#overError(this.#over)
  }

  #overError(reason: keyof typeof OVER): ConnectionLostError {
    return new ConnectionLostError(this.settings.name, OVER[reason], undefined, { reason })
  }

  #laneOwner(role: 'writer' | 'reader'): LaneOwner {
    const { name, path, synchronous, bigints, statements, cancelTimeout, openTimeout } = this.settings
    const writes = role === 'writer'
    return {
      thread: { path, readOnly: !writes, synchronous, bigints, statements },
      threadName: `${name} ${role}`,
      cancelTimeout,
      openTimeout,
      mayStart: () => this.#mayStart,
      ready: () => writes || this.#isCreated(),
      opened: (journalMode) => {
        if (writes) this.#created(journalMode)
      },
      // A reader can neither create the file nor recover it: the writer goes first.
      neededElsewhere: () => writes && this.#journalMode === '' && this.#readers.queued > 0,
      refusal: (outcome) => this.#refusal(outcome, writes),
      abandoned: (reason, exited) => this.#threadAbandoned(role, reason, exited),
      crashed: (why) => {
        this.#tell(
          'crashed',
          'error',
          `database ${name}: the thread of a ${role} died: ${why}; another one takes its place`,
          { role, replaced: true },
        )
        this.#replaced(writes)
      },
      retried: () => {
        this.#counts.busyRetries++
      },
    }
  }

  get #mayStart(): boolean {
    const lost = this.settings.inMemory && this.#over !== null && this.#closing === null
    return !lost && this.#abandoned <= this.settings.abandoned
  }

  #isCreated(): boolean {
    if (this.#journalMode !== '') return true
    this.#writer.warm()
    return false
  }

  #created(journalMode: string): void {
    const first = this.#journalMode === ''
    this.#journalMode = journalMode
    if (!first) return
    const { name, inMemory } = this.settings
    if (journalMode !== 'wal' && !inMemory) {
      const why = `its file cannot be put into WAL mode (it is in ${journalMode} mode), so that each write keeps reads waiting`
      this.#tell('no-wal', 'warn', `database ${name}: ${why}`, { journalMode })
    }
    this.#readers.warm()
  }

  #refusal(outcome: Outcome, byWriter: boolean): unknown {
    const { name, path } = this.settings
    const error =
      outcome.kind === 'failed'
        ? errorOfOpening(outcome.failure, name, path)
        : new ConnectionLostError(
            name,
            `${path} could not be opened: ${outcome.kind === 'lost' ? outcome.why : outcome.kind}`,
            undefined,
            { reason: 'open-failed', path },
          )
    if (byWriter && this.#journalMode === '') this.#readers.refuseAll(error)
    return error
  }

  #threadAbandoned(role: 'writer' | 'reader', reason: AbandonReason, exited: Promise<void>): void {
    const { name, abandoned, cancelTimeout } = this.settings
    this.#abandoned++
    const replaced = this.#mayStart
    const rest = replaced
      ? 'another one takes its place'
      : `no other one takes its place until one of ${this.#abandoned} has ended (abandoned: ${abandoned})`
    const told =
      reason === 'not-ended' ? `did not end its query within ${formatElapsed(cancelTimeout)}` : ABANDON_TEXT[reason]
    const message = `database ${name}: the thread of a ${role} ${told} and goes on by itself; ${rest}`
    this.#tell('abandoned', 'error', message, { role, reason, replaced, abandoned: this.#abandoned })
    this.#replaced(role === 'writer')
    void exited.then(() => {
      this.#abandoned--
      this.#writer.wake()
      this.#readers.wake()
    })
  }

  #replaced(isWriter: boolean): void {
    this.#counts.replaced++
    if (!isWriter || !this.settings.inMemory || this.#over !== null) return
    this.#over = 'memory-lost'
    this.#writer.refuseAll(this.#overError(this.#over))
  }

  #tell(
    type: SqliteEventType,
    severity: SqliteEvent['severity'],
    message: string,
    details: SqliteEvent['details'],
  ): void {
    this.settings.onEvent({ type, severity, database: this.settings.name, message, details })
  }
}

function laneHealth({ open, busy, queued, longestWait }: Lane): LaneHealth {
  return { threads: open, busy, queued, longestWait }
}

function startWith(call: SqliteCall, signal: AbortSignal): Promise<Answer> {
  const onAbort = (): void => call.giveUp(signal.reason)
  const answer = call.start()
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return answer.finally(() => signal.removeEventListener('abort', onAbort))
}

/** Resolves with the promise, or without it after the limit. */
function orAfter(limit: Milliseconds, promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const stop = after(limit, resolve)
    void promise.then(() => {
      stop()
      resolve()
    })
  })
}
