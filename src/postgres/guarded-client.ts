import { ConnectionLostError } from '../database/query-errors.ts'
import { countQuery, takePendingCount } from '../query-insight/count-query.ts'
import { after, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { CancelRequest } from './cancel-request.ts'
import { cancelTarget } from './cancel-target.ts'
import { ClientQuery, ownLimitOf, type RawQuery, textOf, valuesOf } from './client-query.ts'
import type { PgClient, TransactionStatus } from './pg-shape.ts'
import type { DestroyReason } from './pool-events.ts'
import type { GuardSettings } from './pool-options.ts'
import type { SessionLimit } from './server-limit.ts'

/** What a connection tells its pool. */
export interface ClientOwner {
  readonly settings: GuardSettings
  /** A query ended before its answer had come. */
  noteEnded(reason: unknown): void
  noteCancel(): void
  noteRolledBack(client: GuardedClient): void
  noteDestroyed(reason: DestroyReason, why: string): void
}

/** Why a connection has to be destroyed, and the same as a sentence. */
type Fault = readonly [reason: DestroyReason, why: string]

const CURSOR_OPEN: Fault = ['cursor-open', 'a cursor was still open']
/** Milliseconds a cancel is given to take effect before it is sent again; doubled each time. */
const FIRST_PATIENCE = 100
/** Tidying up is done even when the time for everything else is over. */
const ROLLBACK = /^\s*rollback\b/i
/** Fails an open transaction, as a statement that ran out does: also one that was never sent, or ended just before it could be cancelled. */
const FAIL_TRANSACTION = `do $punctual$ begin raise exception 'a query of this transaction ran out of time' using errcode = 'query_canceled'; end $punctual$`

/**
 * A connection of a guarded pool. It hands the driver one query at a time, and the next one only when three things are true: the server
 * has said `ReadyForQuery`, no cancel is open, and the one before has been tidied up. That is what keeps a cancel from hitting a query it was
 * not meant for.
 */
export class GuardedClient {
  readonly client: PgClient
  readonly #owner: ClientOwner
  readonly #raw: RawQuery
  readonly #sessionTimeout: SessionLimit
  #waiting: ClientQuery[] = []
  /** The query the driver has. */
  #active: ClientQuery | null = null
  /** The server waits for a query. */
  #ready: boolean
  #status: TransactionStatus = 'I'
  /** A cancel is open, or something of our own runs on the connection. */
  #tidying = false
  #prepared = false
  /** The open transaction lacks a statement whose caller was told that it ran out: it must not be committed. */
  #doomed = false
  #request: CancelRequest | null = null
  #lost: Error | null = null
  #wakeUp: (() => void)[] = []
  /** How to give it back to the pool, once its borrower is done with it. */
  #leaving: { readonly error: unknown; readonly giveBack: (error?: unknown) => void } | null = null

  constructor(client: PgClient, owner: ClientOwner, sessionTimeout: SessionLimit) {
    this.client = client
    this.#owner = owner
    this.#sessionTimeout = sessionTimeout
    this.#raw = client.query as RawQuery
    // While the driver tells that it has connected, this is not yet set.
    this.#ready = client.readyForQuery !== false
    const { connection } = client
    // Ours hears of it first, so that what the driver's own listener sets off finds us up to date; and last, to go on.
    connection.prependListener('readyForQuery', (message: { readonly status?: TransactionStatus }) => {
      this.#noteReady(message?.status ?? 'I')
    })
    connection.on('readyForQuery', () => this.#next())
    // Without a listener an error on a connection that is lent ends the process. Whoever has it learns of it from the next query.
    client.on('error', (error: Error) => this.#noteLost(error))
    client.once('end', () => this.#noteLost(new Error('the connection ended')))
    client.query = (...args) => this.query(args)
  }

  /** `prepare` has run. */
  get prepared(): boolean {
    return this.#prepared
  }

  /** Before it is lent for the first time. False when the database itself ends no statement. Rejects when the connection is no good. */
  async prepare(): Promise<boolean> {
    this.#prepared = true
    const sql = this.#sessionTimeout.opening(this.client.processID)
    if (sql === undefined) return true
    let row: Parameters<SessionLimit['opened']>[0]
    try {
      const { rows } = (await this.own(sql, this.#owner.settings.connectTimeout)) as {
        readonly rows: readonly (typeof row)[]
      }
      row = rows[0]
    } catch (error) {
      // A database that does not know these functions is used without.
      if (this.#lost !== null) throw this.#gone(error)
    }
    return this.#sessionTimeout.opened(row)
  }

  /** `client.query`, in all its forms. */
  query(args: unknown[]): unknown {
    const { settings } = this.#owner
    const [config, values, callback] = args
    // Whatever the driver refuses outright, let it say so.
    if (
      config === undefined ||
      config === null ||
      (callback !== undefined && callback !== null && typeof callback !== 'function')
    ) {
      return this.#raw.apply(this.client, args)
    }
    const text = textOf(config)
    const tidies = ROLLBACK.test(text)
    // Twice, because it may first have to wait for the cancel of what it rolls back.
    const limit = tidies ? ms(2 * settings.cancelTimeout) : (ownLimitOf(config) ?? settings.queryTimeout)
    const query = new ClientQuery(this, args, limit, tidies)
    const handed = takePendingCount()
    query.counted =
      handed === undefined
        ? countQuery(text, valuesOf(config, values), this.pool, true, query.startedAt, query.home)
        : handed
    const outcome = query.start()
    const refusal = query.counted?.inTest?.refusal ?? null
    if (refusal !== null) query.giveUp(refusal)
    if (this.#lost !== null) query.giveUp(this.#gone(this.#lost))
    if (query.over) return outcome
    this.#waiting.push(query)
    this.#next()
    if (this.#active !== query) query.bind()
    return outcome
  }

  get pool(): string {
    return this.#owner.settings.name
  }

  /** For what is asked of a connection before it is used. */
  get connectTimeout(): Milliseconds {
    return this.#owner.settings.connectTimeout
  }

  /** Runs a statement of our own, before anything that waits. Its limit is `cancelTimeout`, and a connection that exceeds it is destroyed. */
  async own(sql: string, limit: Milliseconds = this.#owner.settings.cancelTimeout): Promise<unknown> {
    this.#tidying = true
    const stop = after(limit, () =>
      this.destroy('no-answer', `it did not answer "${sql.slice(0, 40)}" within ${formatElapsed(limit)}`),
    )
    try {
      return await this.#ownQuery(sql)
    } finally {
      stop()
      this.#tidying = false
      this.#next()
    }
  }

  async #ownQuery(sql: string): Promise<unknown> {
    await this.#whenReady()
    if (this.#lost !== null) throw this.#lost
    this.#ready = false
    try {
      return await this.#raw.call(this.client, sql)
    } finally {
      await this.#whenReady()
    }
  }

  /** The borrower is done. It goes back as soon as it is clean, at once if it is; `error` asks for it to be destroyed. */
  leave(error: unknown, giveBack: (error?: unknown) => void): void {
    this.#leaving = { error, giveBack }
    if (isGiven(error)) {
      const gone = new ConnectionLostError(this.pool, 'its borrower had it destroyed', error)
      for (const query of this.#waiting) query.giveUp(gone)
      this.#active?.giveUp(gone)
    }
    this.#next()
  }

  /** Nobody may use it any more. */
  destroy(reason: DestroyReason, why: string): void {
    if (this.#lost !== null) return
    this.#owner.noteDestroyed(reason, why)
    this.#noteLost(new ConnectionLostError(this.pool, why))
    this.client.connection.stream.destroy()
  }

  /** A query is over before its answer has come: it is ended on the server too, if it has got there. */
  given(query: ClientQuery, reason: unknown): void {
    this.#owner.noteEnded(reason)
    if (this.#active !== query) {
      this.#waiting = this.#waiting.filter((other) => other !== query)
      this.#doomed = this.#status === 'T'
    } else if (this.#lost !== null) query.close()
    else if (!this.#ready) void this.#stop(query)
  }

  /** An error of the driver on a connection that is gone says so; one of the server stays as it is. */
  explain(error: unknown): unknown {
    const ofServer = typeof error === 'object' && error !== null && 'severity' in error
    return this.#lost === null || ofServer || error instanceof ConnectionLostError ? error : this.#gone(error)
  }

  /** The driver has its result. An error that never reached the server leaves the server as ready as it was. */
  settled(query: ClientQuery): void {
    if (this.#active !== query || this.#ready || this.client.readyForQuery !== true) return
    this.#noteReady(this.#status)
    this.#next()
  }

  #noteReady(status: TransactionStatus): void {
    this.#ready = true
    this.#status = status
    if (status !== 'T') this.#doomed = false
    this.#sessionTimeout.noteStatus(status)
    this.#active?.close()
    this.#active = null
    this.#request?.withdraw()
    this.#wake()
  }

  #noteLost(error: Error): void {
    if (this.#lost !== null) return
    this.#lost = error
    this.#request?.withdraw()
    for (const query of this.#waiting) query.giveUp(this.#gone(error))
    // The driver tells the active one, unless it has been told already.
    if (this.#active?.over === true) this.#active.close()
    this.#wake()
    this.#next()
  }

  #wake(): void {
    const wakeUp = this.#wakeUp
    this.#wakeUp = []
    for (const wake of wakeUp) wake()
  }

  async #whenReady(limit?: Milliseconds): Promise<void> {
    if (this.#ready || this.#lost !== null) return
    await new Promise<void>((resolve) => {
      const stop = limit === undefined ? resolve : after(limit, resolve)
      this.#wakeUp.push(() => {
        stop()
        resolve()
      })
    })
  }

  /** Whatever can be done now: the next query, tidying up, or going back to the pool. */
  #next(): void {
    if (this.#lost !== null) return this.#depart(this.#lost)
    if (this.#tidying || !this.#ready) return
    const query = this.#waiting[0]
    if (query === undefined) {
      if (this.#leaving !== null) this.#tidyAndDepart()
      return
    }
    if (this.#doomed && !query.tidies) {
      query.bind()
      void this.#failTransaction()
      return
    }
    const first = this.#sessionTimeout.before(query.serverLimit, this.#status)
    if (first !== undefined) {
      query.bind()
      // Without it the server's limit is the usual one, or none: no reason not to run the query.
      this.own(first).catch(() => {})
      return
    }
    this.#waiting.shift()
    this.#active = query
    this.#ready = false
    try {
      query.send(this.client, this.#raw)
    } catch (error) {
      this.#active = null
      this.#ready = true
      query.giveUp(error)
      this.#next()
    }
  }

  #gone(cause: unknown): ConnectionLostError {
    if (cause instanceof ConnectionLostError) return cause
    return new ConnectionLostError(this.pool, cause instanceof Error ? cause.message : String(cause), cause)
  }

  #tidyAndDepart(): void {
    if (this.#leaving !== null && isGiven(this.#leaving.error)) return this.#depart(this.#leaving.error)
    const sql = this.#status === 'I' ? this.#sessionTimeout.restore() : 'rollback'
    if (sql === undefined) return this.#depart(undefined)
    if (this.#status !== 'I') this.#owner.noteRolledBack(this)
    this.own(sql).catch((error: unknown) => this.destroy('clean-up-failed', `"${sql}" failed: ${String(error)}`))
  }

  #depart(error: unknown): void {
    const leaving = this.#leaving
    if (leaving === null) return
    this.#leaving = null
    leaving.giveBack(error)
    // On a network that is silent a farewell would never be answered.
    if (this.#lost !== null) this.client.connection.stream.destroy()
  }

  /** Ends the active query on the server; destroys the connection if that cannot be done, or not be known. */
  async #stop(query: ClientQuery): Promise<void> {
    this.#tidying = true
    const fault = query.waitsForReader ? CURSOR_OPEN : await this.#cancel()
    if (fault !== undefined) this.destroy(...fault)
    // In a transaction that goes on the statement has won the race, but its caller was told otherwise.
    else this.#doomed = this.#status === 'T'
    this.#tidying = false
    this.#next()
  }

  async #failTransaction(): Promise<void> {
    await this.own(FAIL_TRANSACTION).catch(() => {})
    if (this.#doomed) this.destroy('transaction-not-failed', 'a transaction that had to fail did not')
  }

  /** Undefined when the server is ready and nothing is under way any more; else what is wrong. */
  async #cancel(): Promise<Fault | undefined> {
    const { cancelTimeout } = this.#owner.settings
    const target = cancelTarget(this.client)
    if (target === undefined) return ['no-cancel-key', 'the server has given no key to cancel with']
    const end = monotonicNow() + cancelTimeout
    for (let patience = FIRST_PATIENCE; ; patience *= 2) {
      const left = end - monotonicNow()
      if (left <= 0) return ['cancel-timed-out', `a cancelled query did not end within ${formatElapsed(cancelTimeout)}`]
      this.#request = new CancelRequest(target, ms(left))
      const outcome = await this.#request.done
      this.#request = null
      if (outcome === 'delivered') this.#owner.noteCancel()
      if (this.#lost !== null) return undefined
      if (outcome === 'doubtful') return ['cancel-in-doubt', 'nobody knows whether a cancel is still under way']
      // Sent too early it found nothing to cancel; a connection for it may have been refused: so once more.
      if (!this.#ready) await this.#whenReady(ms(Math.min(patience, Math.max(1, end - monotonicNow()))))
      if (this.#ready || this.#lost !== null) return undefined
    }
  }
}

function isGiven(error: unknown): boolean {
  return error !== undefined && error !== null && error !== false
}
