import { AsyncResource } from 'node:async_hooks'
import { DatabaseOperation } from '../database/database-operation.ts'
import { QueryTimeoutError } from '../database/query-errors.ts'
import type { CountedQuery } from '../query-insight/counted-query.ts'
import { shortenSql } from '../query-insight/sql-text.ts'
import { type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms, UNBOUNDED } from '../resilience/duration.ts'
import type { WaitOutcome } from '../resilience/waits.ts'
import { isSubmittable, type PgClient, type QueryCallback, type Submittable } from './pg-shape.ts'

export type RawQuery = (...args: unknown[]) => unknown

/** What a query tells the connection it is to run on. */
export interface QueryOwner {
  readonly pool: string
  /** Its caller was told that it is over, for this reason, before the server has answered. */
  given(query: ClientQuery, reason: unknown): void
  /** The driver has given its result, or its error. */
  settled(query: ClientQuery): void
  /** The error of the driver, made clearer where more is known. */
  explain(error: unknown): unknown
}

/** PostgreSQL's `query_canceled`: by a cancel request, or by `statement_timeout`. */
const QUERY_CANCELED = '57014'
/** How often in its limit a cursor is looked at. */
const LOOKS = 4

/** One query, from the call to the moment its caller is told. The clock runs from the call, not from when it is sent. */
export class ClientQuery extends DatabaseOperation {
  readonly #owner: QueryOwner
  readonly #text: string
  #args: unknown[]
  readonly #submittable: Submittable | null
  /** Who is told when it ends; null where it does not count. */
  counted: CountedQuery | null = null
  #rows = 0
  /** It is a rollback. */
  readonly tidies: boolean
  #settle: ((error: unknown, result?: unknown) => void) | null = null
  #run: ((client: PgClient, raw: RawQuery) => void) | null = null
  /** When a cursor was last seen to get something, or to be left alone by its reader. */
  #movedAt: number = this.startedAt
  #bytesRead = -1
  #client: PgClient | null = null
  #stopWatching: Cancel | null = null

  /** @param tidies it is a rollback, which has its limit even when everything around it is over */
  constructor(owner: QueryOwner, args: unknown[], limit: Milliseconds, tidies: boolean) {
    super(owner.pool, limit, tidies ? 'cleanup' : 'query')
    this.#owner = owner
    this.#args = args
    this.#text = textOf(args[0])
    this.tidies = tidies
    this.#submittable = isSubmittable(args[0]) ? args[0] : null
  }

  override get name(): string {
    return `${this.operation ?? `pool ${this.pool}`}: ${shortenSql(this.#text)}`
  }

  /** An open cursor that waits for its reader, not for the server: nothing runs there that could be cancelled. */
  get waitsForReader(): boolean {
    const cursor = this.#submittable?.cursor ?? this.#submittable
    // It also calls itself idle when it has been described while its first read is under way.
    return cursor?.state === 'idle' && (cursor._cb === undefined || cursor._cb === null)
  }

  /** The limit for the database's own clock. It goes on while a cursor waits for its reader, so a cursor must be without. */
  get serverLimit(): Milliseconds {
    return cursorState(this.#submittable) === undefined ? this.timeout : UNBOUNDED
  }

  /** Starts the clock. Returns what the caller of `query` gets. */
  start(): unknown {
    const submittable = this.#submittable
    const outcome = submittable ?? this.#promiseOrCallback()
    if (submittable !== null) this.#guardSubmittable(submittable)
    this.begin()
    if (cursorState(submittable) !== undefined && this.outcome === null) this.#stopWatching = this.#watchCursor()
    return outcome
  }

  /** It has to wait for its turn: what it then does is still done in the name of its caller. */
  bind(): void {
    this.#run ??= AsyncResource.bind((client: PgClient, raw: RawQuery) => this.#send(client, raw))
  }

  /** Hands it to the driver. */
  send(client: PgClient, raw: RawQuery): void {
    this.#client = client
    if (this.#run === null) this.#send(client, raw)
    else this.#run(client, raw)
    this.beginWork()
  }

  /** The server is ready for another one: nothing of this query is left there. */
  close(): void {
    this.wheel.cancel(this)
    this.leave()
    // What became of a text or an object its promise will say, in a moment.
    if (this.#submittable !== null) this.settle('ok')
    this.endWork()
    this.#args = []
  }

  override expire(): void {
    // A cursor has its limit for each answer of the server; how long its reader takes is the reader's business.
    if (cursorState(this.#submittable) === undefined) super.expire()
  }

  protected override onGivenUp(reason: unknown): void {
    const submittable = this.#submittable
    if (submittable === null) this.#tell(reason)
    // One that was sent hears of it when the server has answered, or the connection is gone: told before, it would speak out of turn.
    else if (this.state !== 'abandoned') process.nextTick(() => submittable.handleError(reason, undefined))
    this.#owner.given(this, reason)
  }

  protected override timeoutError(): QueryTimeoutError {
    return new QueryTimeoutError(this.timeoutFacts, shortenSql(this.#text))
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
    // Always its promise and never a callback: some versions of pg write the callback into the caller's own object.
    const [config, values] = this.#args
    const plain = withoutOwnLimits(config)
    const answer = raw.apply(client, typeof values === 'function' || values === undefined ? [plain] : [plain, values])
    ;(answer as PromiseLike<unknown>).then(
      (result) => this.#answered(undefined, result),
      (error: unknown) => this.#answered(error ?? new Error('the driver gave no reason')),
    )
  }

  #answered(error: unknown, result?: unknown): void {
    if (this.#settle !== null) {
      this.#rows = rowsOf(result)
      this.settle(error === undefined ? 'ok' : 'failed')
      this.#tell(error === undefined ? undefined : this.#translate(error), result)
    }
    this.#owner.settled(this)
  }

  #tell(error: unknown, result?: unknown): void {
    const settle = this.#settle
    this.#settle = null
    settle?.(error, result)
  }

  #promiseOrCallback(): Promise<unknown> | undefined {
    const callback = callbackOf(this.#args)
    if (callback !== undefined) {
      // On a tick of its own: what a callback throws is its own fault, not a failed query.
      this.#settle = AsyncResource.bind((error: unknown, result: unknown) => {
        process.nextTick(callback, error ?? null, result)
      })
      return undefined
    }
    return new Promise((resolve, reject) => {
      this.#settle = (error, result) => (error === undefined ? resolve(result) : reject(error))
    }).catch((error: unknown) => {
      // The trace of whoever asked, instead of the timer's or the socket's. The reason of an abort is shared, and keeps what it has.
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
      queueMicrotask(() => this.#owner.settled(this))
    }
  }

  /** What the database ended by its own `statement_timeout` has run out of time too. Nobody else's cancel is taken for that. */
  #translate(error: unknown): unknown {
    const { code, message } = error as { readonly code?: unknown; readonly message?: unknown }
    if (code !== QUERY_CANCELED || !String(message).includes('statement timeout')) return this.#owner.explain(error)
    const { elapsed } = this.timeoutFacts
    return new QueryTimeoutError(
      { ...this.timeoutFacts, timedOutBy: 'server', timeout: elapsed },
      shortenSql(this.#text),
      error,
    )
  }

  #watchCursor(): Cancel {
    return every(ms(Math.max(1, this.timeout / LOOKS)), () => {
      if (!this.#moved() && monotonicNow() - this.#movedAt >= this.timeout * (1 + 1 / LOOKS))
        this.giveUp(this.timeoutError())
    })
  }

  #moved(): boolean {
    const bytesRead = (this.#client?.connection.stream as { readonly bytesRead?: number } | undefined)?.bytesRead ?? 0
    const moved = this.waitsForReader || bytesRead !== this.#bytesRead
    this.#bytesRead = bytesRead
    if (moved) this.#movedAt = monotonicNow()
    return moved
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

/** The driver's `query_timeout` gives a query up without ending it; the limit here has taken its place. */
function withoutOwnLimits(config: unknown): unknown {
  const { callback, query_timeout } = config as { readonly callback?: unknown; readonly query_timeout?: unknown }
  if (callback === undefined && query_timeout === undefined) return config
  return Object.create(config as object, { callback: { value: undefined }, query_timeout: { value: undefined } })
}

/** How many rows a result has, or how many its statement has changed. */
function rowsOf(result: unknown): number {
  const { rowCount } = (result ?? {}) as { readonly rowCount?: unknown }
  return typeof rowCount === 'number' ? rowCount : 0
}

/** The parameters of a query: its own, or those given beside it. */
export function valuesOf(config: unknown, values: unknown): unknown {
  if (values !== undefined && typeof values !== 'function') return values
  return typeof config === 'string' ? undefined : (config as { readonly values?: unknown }).values
}

/** `query_timeout` of a query object: its own limit in milliseconds. */
export function ownLimitOf(config: unknown): Milliseconds | undefined {
  const { query_timeout } = config as { readonly query_timeout?: unknown }
  return typeof query_timeout === 'number' && query_timeout > 0 ? ms(query_timeout) : undefined
}

/** The statement of a text, a query object or a submittable. */
export function textOf(config: unknown): string {
  if (typeof config === 'string') return config
  const { text, cursor, name } = config as { text?: unknown; cursor?: { text?: unknown }; name?: unknown }
  return String(text ?? cursor?.text ?? name ?? 'a submitted query')
}
