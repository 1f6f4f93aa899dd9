import { AsyncResource } from 'node:async_hooks'
import { DatabaseOperation } from '../database/database-operation.ts'
import { QueryTimeoutError } from '../database/query-errors.ts'
import type { CountedQuery } from '../query-insight/counted-query.ts'
import { shortenSql } from '../query-insight/sql-text.ts'
import { asMicrotask, type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms, UNBOUNDED } from '../resilience/duration.ts'
import type { WaitOutcome } from '../resilience/waits.ts'
import { isSubmittable, type PgClient, type QueryCallback, type Submittable } from './pg-types.ts'

export type RawQuery = (...args: unknown[]) => unknown

/** The part of a connection that its queries need. */
export interface QueryConnection {
  readonly pool: string
  /** The query timed out or was given up before the server has answered. */
  onGivenUp(query: ClientQuery, reason: unknown): void
  /** The driver has returned a result or an error. */
  onSettled(query: ClientQuery): void
  /** Replaces an error of the driver if more is known. */
  explain(error: unknown): unknown
}

/** PostgreSQL's `query_canceled`: by a cancel request, or by `statement_timeout`. */
const QUERY_CANCELED = '57014'
/** How often a cursor is checked within its timeout. */
const CURSOR_CHECKS = 4

/** One query of a caller. Its time runs from the call, not from when it is sent. */
export class ClientQuery extends DatabaseOperation {
  readonly #connection: QueryConnection
  readonly text: string
  #args: unknown[]
  readonly #submittable: Submittable | null
  /** Null if the query is not counted. */
  counted: CountedQuery | null = null
  #rows = 0
  /** Whether it is a rollback. */
  readonly isCleanup: boolean
  #settle: ((error: unknown, result?: unknown) => void) | null = null
  #run: ((client: PgClient, raw: RawQuery) => void) | null = null
  /** When a cursor was last seen to make progress, or to wait for its reader. */
  #progressAt: number = this.startedAt
  #bytesRead = -1
  #client: PgClient | null = null
  #stopWatching: Cancel | null = null

  /** @param kind `cleanup` for a rollback, which runs even when its request has ended */
  constructor(
    connection: QueryConnection,
    args: unknown[],
    timeout: Milliseconds,
    kind: 'query' | 'session' | 'cleanup',
  ) {
    super(connection.pool, timeout, kind)
    this.#connection = connection
    this.#args = args
    this.text = textOf(args[0])
    this.isCleanup = kind === 'cleanup'
    this.#submittable = isSubmittable(args[0]) ? args[0] : null
  }

  override get name(): string {
    return `${this.operation ?? `pool ${this.pool}`}: ${shortenSql(this.text)}`
  }

  /** Whether it is an open cursor that waits for its reader: the server runs nothing to cancel. */
  get waitsForReader(): boolean {
    const cursor = this.#submittable?.cursor ?? this.#submittable
    // A cursor is also idle after its description, while its first read is under way.
    return cursor?.state === 'idle' && (cursor._cb === undefined || cursor._cb === null)
  }

  /**
   * The `statement_timeout` it needs. A cursor gets none: that of the server includes the waiting
   * for the reader.
   */
  get statementTimeout(): Milliseconds {
    return cursorState(this.#submittable) === undefined ? this.timeout : UNBOUNDED
  }

  /** Starts the timer. Returns the return value of `client.query`. */
  start(): unknown {
    const submittable = this.#submittable
    const outcome = submittable ?? this.#promiseOrCallback()
    if (submittable !== null) this.#guardSubmittable(submittable)
    this.begin()
    if (cursorState(submittable) !== undefined && this.outcome === null) this.#stopWatching = this.#checkCursor()
    return outcome
  }

  /** Keeps the asynchronous context of the caller, because the query is sent later. */
  bind(): void {
    this.#run ??= AsyncResource.bind((client: PgClient, raw: RawQuery) => this.#send(client, raw))
  }

  /** Gives the query to the driver. */
  send(client: PgClient, raw: RawQuery): void {
    this.#client = client
    if (this.#run === null) this.#send(client, raw)
    else this.#run(client, raw)
    this.beginWork()
  }

  /** The server is ready for the next query, so nothing of this one is left there. */
  close(): void {
    this.wheel.cancel(this)
    this.leave()
    // Other queries are settled by the promise of the driver, a moment later.
    if (this.#submittable !== null) this.settle('ok')
    this.endWork()
    this.#args = []
  }

  override expire(): void {
    // A cursor has its timeout for each answer of the server, without the time of its reader.
    if (cursorState(this.#submittable) === undefined) super.expire()
  }

  protected override onGivenUp(reason: unknown): void {
    const submittable = this.#submittable
    if (submittable === null) this.#finish(reason)
    // One that was sent gets the error when the server has answered or the connection is lost.
    else if (this.state !== 'abandoned') process.nextTick(() => submittable.handleError(reason, undefined))
    this.#connection.onGivenUp(this, reason)
  }

  protected override timeoutError(): QueryTimeoutError {
    return new QueryTimeoutError(this.timeoutFacts, shortenSql(this.text))
  }

  protected override settle(outcome: WaitOutcome): boolean {
    this.#stopWatching?.()
    const isFirst = super.settle(outcome)
    if (isFirst) this.counted?.ended(this.#rows, outcome !== 'ok', this.startedAt, this.endedAt ?? undefined)
    return isFirst
  }

  #send(client: PgClient, raw: RawQuery): void {
    if (this.#submittable !== null) {
      raw.apply(client, this.#args)
      return
    }
    // Always the promise: some versions of pg write a callback into the object of the caller.
    const [config, values] = this.#args
    const plain = withoutOwnTimeout(config)
    const answer = raw.apply(client, typeof values === 'function' || values === undefined ? [plain] : [plain, values])
    ;(answer as PromiseLike<unknown>).then(
      (result) => this.#answered(undefined, result),
      (error: unknown) => this.#answered(error ?? new Error('the driver failed without an error')),
    )
  }

  #answered(error: unknown, result?: unknown): void {
    if (this.#settle !== null) {
      this.#rows = rowsOf(result)
      this.settle(error === undefined ? 'ok' : 'failed')
      this.#finish(error === undefined ? undefined : this.#translate(error), result)
    }
    this.#connection.onSettled(this)
  }

  #finish(error: unknown, result?: unknown): void {
    const settle = this.#settle
    this.#settle = null
    settle?.(error, result)
  }

  #promiseOrCallback(): Promise<unknown> | undefined {
    const callback = callbackOf(this.#args)
    if (callback !== undefined) {
      // In a tick of its own: an error thrown by the callback is not one of the query.
      this.#settle = AsyncResource.bind((error: unknown, result: unknown) => {
        process.nextTick(callback, error ?? null, result)
      })
      return undefined
    }
    return new Promise((resolve, reject) => {
      this.#settle = (error, result) => (error === undefined ? resolve(result) : reject(error))
    }).catch((error: unknown) => {
      // The stack of the caller replaces that of the timer or socket. The reason of an abort is
      // shared by several waits, and keeps its own.
      if (error instanceof Error && (error !== this.reason || error instanceof QueryTimeoutError)) {
        Error.captureStackTrace(error)
      }
      throw error
    })
  }

  #guardSubmittable(submittable: Submittable): void {
    const handleError = submittable.handleError
    submittable.handleError = (error, connection) => {
      this.settle('failed')
      handleError.call(submittable, this.reason ?? this.#translate(error), connection)
      asMicrotask(() => this.#connection.onSettled(this))
    }
  }

  /**
   * A query that the database ended by `statement_timeout` has timed out too; other cancels have
   * not.
   */
  #translate(error: unknown): unknown {
    const { code, message } = error as { readonly code?: unknown; readonly message?: unknown }
    if (code !== QUERY_CANCELED || !String(message).includes('statement timeout'))
      return this.#connection.explain(error)
    const { elapsed } = this.timeoutFacts
    return new QueryTimeoutError(
      { ...this.timeoutFacts, timedOutBy: 'server', timeout: elapsed },
      shortenSql(this.text),
      error,
    )
  }

  #checkCursor(): Cancel {
    return every(ms(Math.max(1, this.timeout / CURSOR_CHECKS)), () => {
      if (!this.#hasProgress() && monotonicNow() - this.#progressAt >= this.timeout * (1 + 1 / CURSOR_CHECKS))
        this.giveUp(this.timeoutError())
    })
  }

  #hasProgress(): boolean {
    const bytesRead = (this.#client?.connection.stream as { readonly bytesRead?: number } | undefined)?.bytesRead ?? 0
    const hasProgress = this.waitsForReader || bytesRead !== this.#bytesRead
    this.#bytesRead = bytesRead
    if (hasProgress) this.#progressAt = monotonicNow()
    return hasProgress
  }
}

function cursorState(submittable: Submittable | null): string | undefined {
  return submittable === null ? undefined : (submittable.cursor?.state ?? submittable.state)
}

function callbackOf([config, values, callback]: unknown[]): QueryCallback | undefined {
  const found =
    typeof values === 'function' ? values : (callback ?? (config as { readonly callback?: unknown }).callback)
  return typeof found === 'function' ? (found as QueryCallback) : undefined
}

/** Removes the driver's `query_timeout`, which does not end the query on the server. */
function withoutOwnTimeout(config: unknown): unknown {
  const { callback, query_timeout } = config as { readonly callback?: unknown; readonly query_timeout?: unknown }
  if (callback === undefined && query_timeout === undefined) return config
  return Object.create(config as object, { callback: { value: undefined }, query_timeout: { value: undefined } })
}

/** The rows that a result has, or that its statement changed. */
function rowsOf(result: unknown): number {
  const { rowCount } = (result ?? {}) as { readonly rowCount?: unknown }
  return typeof rowCount === 'number' ? rowCount : 0
}

/** Returns the parameters of a query: in the query object, or passed separately. */
export function valuesOf(config: unknown, values: unknown): unknown {
  if (values !== undefined && typeof values !== 'function') return values
  return typeof config === 'string' ? undefined : (config as { readonly values?: unknown }).values
}

/** Returns `query_timeout` of a query object, in milliseconds. */
export function ownTimeoutOf(config: unknown): Milliseconds | undefined {
  const { query_timeout } = config as { readonly query_timeout?: unknown }
  return typeof query_timeout === 'number' && query_timeout > 0 ? ms(query_timeout) : undefined
}

/** Returns the SQL of a string, a query object or a submittable. */
export function textOf(config: unknown): string {
  if (typeof config === 'string') return config
  const { text, cursor, name } = config as { text?: unknown; cursor?: { text?: unknown }; name?: unknown }
  return String(text ?? cursor?.text ?? name ?? 'a submitted query')
}
