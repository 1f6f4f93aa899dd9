import { ConnectionLostError } from '../database/query-errors.ts'
import { countQuery, takePendingCount } from '../query-insight/count-query.ts'
import { after } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { cancelQuery, type Fault } from './cancel-request.ts'
import { ClientQuery, ownTimeoutOf, type RawQuery, textOf, valuesOf } from './client-query.ts'
import type { PgClient, TransactionStatus } from './pg-types.ts'
import type { DestroyReason } from './pool-health.ts'
import type { GuardSettings } from './pool-options.ts'
import { ServerStatus } from './server-status.ts'
import { SessionState } from './session-state.ts'
import type { StatementTimeout } from './statement-timeout.ts'

/** The events of a connection, which its pool handles. */
export interface ClientEvents {
  readonly settings: GuardSettings
  /** A query timed out or was given up. */
  onQueryGivenUp(reason: unknown): void
  onCancelSent(): void
  /** The transaction that the borrower left open is rolled back. */
  onRollback(client: GuardedClient): void
  onDestroyed(reason: DestroyReason, why: string): void
}

/** The state of a connection. At most one query, or one statement of the guard, runs on it. */
type ConnectionState =
  /** Not opened yet: the server has never sent ReadyForQuery. */
  | { readonly name: 'connecting' }
  /**
   * The server is ready and nothing runs: the next query can be sent, or the connection returned.
   */
  | { readonly name: 'idle' }
  /** The driver has a query, and the server has not sent ReadyForQuery since. */
  | { readonly name: 'querying'; readonly query: ClientQuery }
  /**
   * The caller of the query has been answered before the server has. The query is being cancelled.
   * Nothing is sent until the server is ready and no cancel request can arrive any more.
   */
  | { readonly name: 'cancelling'; readonly query: ClientQuery }
  /** A statement of the guard runs: it prepares the session, sets a timeout, or rolls back. */
  | { readonly name: 'maintaining' }
  /** Ended or destroyed; final. A query that was running still gets the driver's error. */
  | { readonly name: 'lost'; readonly error: Error; readonly query: ClientQuery | null }

const CURSOR_OPEN: Fault = ['cursor-open', 'a cursor was still open']
/** Cleaning up is allowed when the time for everything else is over. */
const ROLLBACK = /^\s*rollback\b/i
/** Makes an open transaction fail, also when the query that timed out was never sent. */
const FAIL_TRANSACTION =
  "do $punctual$ begin raise exception 'a query of this transaction timed out' " +
  "using errcode = 'query_canceled'; end $punctual$"

/**
 * A connection of a guarded pool. It gives the driver one query at a time, and the next only when
 * the server has sent ReadyForQuery, no cancel request is open, and the previous query is cleaned
 * up. So a cancel request never hits another query.
 */
export class GuardedClient {
  readonly client: PgClient
  readonly #events: ClientEvents
  readonly #sendRaw: RawQuery
  readonly #statementTimeout: StatementTimeout
  #state: ConnectionState
  #queue: ClientQuery[] = []
  readonly #server: ServerStatus
  /**
   * A query of the open transaction timed out or was given up, so the transaction must not be
   * committed.
   */
  #isIncomplete = false
  /**
   * The scope that has checked the connection out was given up while a transaction was open, which
   * is made to fail at once: it would hold its locks until the borrower goes on.
   */
  #borrowerGivenUp: { readonly reason: unknown } | null = null
  /** What may be left of this checkout in the session. */
  readonly #session = new SessionState()
  #isPrepared = false
  /** Set when the borrower has released the connection. It returns to the pool once it is clean. */
  #release: { readonly error: unknown; readonly giveBack: (error?: unknown) => void } | null = null

  constructor(client: PgClient, events: ClientEvents, statementTimeout: StatementTimeout) {
    this.client = client
    this.#events = events
    this.#statementTimeout = statementTimeout
    this.#sendRaw = client.query as RawQuery
    // False while the driver reports that it has connected.
    this.#server = new ServerStatus(client.readyForQuery !== false)
    this.#state = this.#server.isReady ? { name: 'idle' } : { name: 'connecting' }
    const { connection } = client
    // One listener before the driver's own, whose callbacks may start queries; one after it.
    connection.prependListener('readyForQuery', (message: { readonly status?: TransactionStatus }) => {
      this.#becomeReady(message?.status ?? 'I')
    })
    connection.on('readyForQuery', () => this.#next())
    // Without a listener an error on a connection that is checked out ends the process. The
    // borrower gets it from the next query.
    client.on('error', (error: Error) => this.#becomeLost(error))
    client.once('end', () => this.#becomeLost(new Error('the connection ended')))
    client.query = (...args) => this.query(args)
  }

  get pool(): string {
    return this.#events.settings.name
  }

  get connectTimeout(): Milliseconds {
    return this.#events.settings.connectTimeout
  }

  get isPrepared(): boolean {
    return this.#isPrepared
  }

  /**
   * Sets up the session before the connection is first checked out. Resolves to false if the
   * database has no timeout for statements. Rejects if the connection is lost.
   */
  async prepare(): Promise<boolean> {
    this.#isPrepared = true
    const sql = this.#statementTimeout.opening(this.client.processID)
    if (sql === undefined) return true
    let row: Parameters<StatementTimeout['opened']>[0]
    try {
      const { rows } = (await this.runOwn(sql, this.connectTimeout)) as { readonly rows: readonly (typeof row)[] }
      row = rows[0]
    } catch (error) {
      // A database without these functions is used without the timeout.
      if (this.#state.name === 'lost') throw this.#lostError(error)
    }
    return this.#statementTimeout.opened(row)
  }

  /** `client.query` in all its forms. */
  query(args: unknown[]): unknown {
    const { settings } = this.#events
    const [config, values, callback] = args
    // The driver refuses invalid arguments itself.
    if (
      config === undefined ||
      config === null ||
      (callback !== undefined && callback !== null && typeof callback !== 'function')
    ) {
      return this.#sendRaw.apply(this.client, args)
    }
    const text = textOf(config)
    const isCleanup = ROLLBACK.test(text)
    // Twice, because a rollback may first wait for the cancel of the query before it.
    const timeout = isCleanup ? ms(2 * settings.cancelTimeout) : (ownTimeoutOf(config) ?? settings.queryTimeout)
    this.#session.noteQuery(text)
    const pending = takePendingCount()
    const kind = isCleanup ? 'cleanup' : pending === undefined ? 'session' : 'query'
    const query = new ClientQuery(this, args, timeout, kind)
    query.counted =
      pending === undefined
        ? countQuery(text, valuesOf(config, values), this.pool, true, query.startedAt, query.home)
        : pending
    const outcome = query.start()
    const refusal = query.counted?.inTest?.refusal ?? null
    if (refusal !== null) query.giveUp(refusal)
    if (this.#state.name === 'lost') query.giveUp(this.#lostError(this.#state.error))
    if (query.over) return outcome
    this.#queue.push(query)
    this.#next()
    if (this.#activeQuery !== query) query.bind()
    return outcome
  }

  /**
   * Runs a statement of the guard before the queue. When it takes longer than `timeout`, the
   * connection is destroyed.
   *
   * @param timeout default: `cancelTimeout`
   */
  async runOwn(sql: string, timeout: Milliseconds = this.#events.settings.cancelTimeout): Promise<unknown> {
    this.#enter({ name: 'maintaining' })
    const stopTimer = after(timeout, () =>
      this.destroy('no-answer', `"${sql.slice(0, 40)}" was not answered within ${formatElapsed(timeout)}`),
    )
    try {
      return await this.#sendOwn(sql)
    } finally {
      stopTimer()
      this.#enter({ name: 'idle' })
      this.#next()
    }
  }

  async #sendOwn(sql: string): Promise<unknown> {
    await this.#server.whenReady()
    if (this.#state.name === 'lost') throw this.#state.error
    this.#server.isReady = false
    try {
      return await this.#sendRaw.call(this.client, sql)
    } finally {
      await this.#server.whenReady()
    }
  }

  /** The borrower has released the connection; `error` asks for it to be destroyed. */
  release(error: unknown, giveBack: (error?: unknown) => void): void {
    this.#release = { error, giveBack }
    if (isError(error)) {
      const lost = new ConnectionLostError(this.pool, 'its borrower had it destroyed', error)
      for (const query of this.#queue) query.giveUp(lost)
      this.#activeQuery?.giveUp(lost)
    }
    this.#next()
  }

  destroy(reason: DestroyReason, why: string): void {
    if (this.#state.name === 'lost') return
    this.#events.onDestroyed(reason, why)
    this.#becomeLost(new ConnectionLostError(this.pool, why))
    this.client.connection.stream.destroy()
  }

  /** The scope that has checked the connection out is given up. Its queries are, too. */
  onBorrowerGivenUp(reason: unknown): void {
    this.#session.noteGivenUp('')
    if (this.#server.transaction === 'I' && this.#activeQuery === null) return
    this.#borrowerGivenUp = { reason }
    this.#next()
  }

  /** A query has timed out or was given up: it is cancelled if the server has it. */
  onGivenUp(query: ClientQuery, reason: unknown): void {
    this.#events.onQueryGivenUp(reason)
    this.#session.noteGivenUp(query.text)
    if (this.#activeQuery !== query) {
      this.#queue = this.#queue.filter((other) => other !== query)
      this.#isIncomplete = this.#server.transaction === 'T'
    } else if (this.#state.name === 'lost') query.close()
    else if (!this.#server.isReady) void this.#cancelQuery(query)
  }

  /** The driver has settled a query. If it failed before it was sent, the server is still ready. */
  onSettled(query: ClientQuery): void {
    if (query.outcome === 'ok') this.#session.noteSuccess(query.text)
    if (this.#activeQuery !== query || this.#server.isReady || this.client.readyForQuery !== true) return
    this.#becomeReady(this.#server.transaction)
    this.#next()
  }

  /**
   * Explains an error of the driver by the loss of the connection; errors of the server are
   * returned unchanged.
   */
  explain(error: unknown): unknown {
    const isFromServer = typeof error === 'object' && error !== null && 'severity' in error
    if (this.#state.name !== 'lost' || isFromServer || error instanceof ConnectionLostError) return error
    return this.#lostError(error)
  }

  get #activeQuery(): ClientQuery | null {
    return 'query' in this.#state ? this.#state.query : null
  }

  /** The only place that sets the state. `lost` is final. */
  #enter(state: ConnectionState): void {
    if (this.#state.name !== 'lost') this.#state = state
  }

  #becomeReady(transaction: TransactionStatus): void {
    this.#server.becomeReady(transaction)
    if (transaction !== 'T') this.#isIncomplete = false
    if (transaction === 'I') this.#borrowerGivenUp = null
    this.#statementTimeout.noteStatus(transaction)
    this.#activeQuery?.close()
    // Other states end by themselves: a cancel, or a statement of the guard, waits for this moment.
    if (this.#state.name === 'connecting' || this.#state.name === 'querying') this.#enter({ name: 'idle' })
  }

  #becomeLost(error: Error): void {
    if (this.#state.name === 'lost') return
    const query = this.#activeQuery
    this.#enter({ name: 'lost', error, query })
    this.#server.becomeLost()
    for (const waiting of this.#queue) waiting.giveUp(this.#lostError(error))
    // The driver fails the active query, unless its caller has been answered already.
    if (query?.over === true) query.close()
    this.#next()
  }

  /** Does what can be done now: sends the next query, cleans up, or returns the connection. */
  #next(): void {
    if (this.#state.name === 'lost') return this.#giveBack(this.#state.error)
    if (this.#state.name !== 'idle') return
    if (this.#borrowerGivenUp !== null) {
      if (this.#server.transaction === 'T') return void this.#failTransaction()
      // The server would answer a commit with a rollback, which the borrower would not notice.
      const { reason } = this.#borrowerGivenUp
      if (this.#server.transaction === 'E') for (const query of this.#queue) if (!query.isCleanup) query.giveUp(reason)
    }
    const query = this.#queue[0]
    if (query === undefined) {
      if (this.#release !== null) this.#cleanUp()
      return
    }
    if (this.#isIncomplete && !query.isCleanup) {
      query.bind()
      void this.#failTransaction()
      return
    }
    const first = this.#statementTimeout.before(query.statementTimeout, this.#server.transaction)
    if (first !== undefined) {
      query.bind()
      // If it fails, the server's timeout is the usual one or none, and the query runs anyway.
      this.runOwn(first).catch(() => {})
      return
    }
    this.#queue.shift()
    this.#enter({ name: 'querying', query })
    this.#server.isReady = false
    try {
      query.send(this.client, this.#sendRaw)
    } catch (error) {
      this.#enter({ name: 'idle' })
      this.#server.isReady = true
      query.giveUp(error)
      this.#next()
    }
  }

  #lostError(cause: unknown): ConnectionLostError {
    if (cause instanceof ConnectionLostError) return cause
    return new ConnectionLostError(this.pool, cause instanceof Error ? cause.message : String(cause), cause)
  }

  #cleanUp(): void {
    if (this.#release !== null && isError(this.#release.error)) return this.#giveBack(this.#release.error)
    if (this.#session.isDoubtful) {
      return this.destroy('session-changed', 'its borrower changed the session, and was given up before it cleaned up')
    }
    const sql = this.#server.transaction === 'I' ? this.#statementTimeout.restore() : 'rollback'
    if (sql === undefined) return this.#giveBack(undefined)
    if (this.#server.transaction !== 'I') this.#events.onRollback(this)
    this.runOwn(sql).catch((error: unknown) => this.destroy('clean-up-failed', `"${sql}" failed: ${String(error)}`))
  }

  #giveBack(error: unknown): void {
    const release = this.#release
    if (release === null) return
    this.#release = null
    this.#session.reset()
    release.giveBack(error)
    // The driver says goodbye to the server; on a dead network it would wait for an answer.
    if (this.#state.name === 'lost') this.client.connection.stream.destroy()
  }

  /**
   * Ends the active query on the server, or destroys the connection if that fails or is uncertain.
   */
  async #cancelQuery(query: ClientQuery): Promise<void> {
    this.#enter({ name: 'cancelling', query })
    const fault = query.waitsForReader ? CURSOR_OPEN : await this.#endOnServer()
    if (fault !== null) this.destroy(...fault)
    // If the transaction still goes on, the statement succeeded, but its caller was told otherwise.
    else this.#isIncomplete = this.#server.transaction === 'T'
    this.#enter({ name: 'idle' })
    this.#next()
  }

  async #endOnServer(): Promise<Fault | null> {
    const { delivered, fault } = await cancelQuery(this.client, this.#server, this.#events.settings.cancelTimeout)
    for (let count = 0; count < delivered; count++) this.#events.onCancelSent()
    return fault
  }

  async #failTransaction(): Promise<void> {
    await this.runOwn(FAIL_TRANSACTION).catch(() => {})
    if (this.#server.transaction === 'T')
      this.destroy('transaction-not-failed', 'an incomplete transaction could not be made to fail')
  }
}

function isError(error: unknown): boolean {
  return error !== undefined && error !== null && error !== false
}
