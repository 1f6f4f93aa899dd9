import { ConnectionLostError } from '../database/query-errors.ts'
import { isAbortReason, isTimeout } from '../resilience/abort-reason.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { AcquireWait, type AcquiringPool, type Checkout, Holding } from './checkout.ts'
import { applyConnectTimeout } from './connect-timeout.ts'
import { checkCapacity, forgetPool, formatShortage } from './connection-capacity.ts'
import { type ClientEvents, GuardedClient } from './guarded-client.ts'
import type { ConnectCallback, PgClient, RawPool } from './pg-types.ts'
import {
  type DestroyReason,
  healthLevel,
  type PoolCounts,
  type PoolEvent,
  type PoolEventDetails,
  type PoolEventType,
  type PoolHealth,
} from './pool-health.ts'
import { type MonitoredPool, PoolMonitor } from './pool-monitor.ts'
import type { GuardSettings } from './pool-options.ts'
import { StatementTimeout } from './statement-timeout.ts'

type GiveBack = (error?: unknown) => void

/**
 * Added to `connectTimeout` for a caller that waits for a new connection: a connect error says
 * more.
 */
const CONNECT_GRACE_MS = 100

/** The queue in front of a pool, and the state of its connections. */
export class GuardedPool implements AcquiringPool, ClientEvents, MonitoredPool {
  readonly settings: GuardSettings
  readonly #pool: RawPool
  readonly #connect: (callback: ConnectCallback) => void
  readonly #monitor: PoolMonitor
  readonly #clients = new WeakMap<PgClient, GuardedClient>()
  /** The connections that are checked out, or cleaned up after that. */
  readonly #checkedOut = new Map<GuardedClient, { readonly checkout: Checkout; readonly giveBack: GiveBack }>()
  #waits: AcquireWait[] = []
  /** Connections requested from the pool that have not arrived. */
  #requested = 0
  readonly #counts: { -readonly [Key in keyof PoolCounts]: number } = {
    timedOut: 0,
    aborted: 0,
    cancels: 0,
    destroyed: 0,
    leaks: 0,
  }
  #hasWarnedOfTimeout = false
  #hasConnected = false

  constructor(pool: RawPool, settings: GuardSettings) {
    this.#pool = pool
    this.settings = settings
    this.#connect = pool.connect.bind(pool)
    this.#monitor = new PoolMonitor(this)
    applyConnectTimeout(pool, settings.name, settings.connectTimeout)
    pool.on('connect', (client: PgClient) => this.#guarded(client))
    pool.on('remove', () => this.#serve())
    // Without a listener the end of an idle connection ends the process.
    pool.on('error', (error: Error) => {
      this.sendEvent('lost', 'warn', `pool ${settings.name}: idle connection lost: ${error.message}`, {
        error: error.message,
      })
    })
  }

  get waiting(): number {
    return this.#waits.length
  }

  /** Returns a connection, in the order of the calls. `client.release` returns it to the pool. */
  acquire(checkout: Checkout): Promise<GuardedClient> {
    // A pool that was ended refuses in its own words.
    if (this.#pool.ending === true) return new Promise((_, reject) => this.#connect((error) => reject(error)))
    const { acquireTimeout, connectTimeout } = this.settings
    // A caller waits longer for a connection that is being opened than for one that is in use.
    const isOpening = this.#requested > this.#waits.length || this.#free() > 0
    const timeout = isOpening ? ms(connectTimeout + CONNECT_GRACE_MS) : acquireTimeout
    const wait = new AcquireWait(this, timeout, checkout)
    this.#waits.push(wait)
    wait.start()
    this.#serve()
    return wait.client
  }

  onAcquireGivenUp(wait: AcquireWait): void {
    this.#waits = this.#waits.filter((other) => other !== wait)
    this.onQueryGivenUp(wait.reason)
  }

  /** Ends the queue: callers that wait for a connection get an error. */
  end(): void {
    this.#monitor.stop()
    forgetPool(this.settings)
    const lost = new ConnectionLostError(this.settings.name, 'the pool was ended')
    for (const wait of this.#waits.splice(0)) wait.fail(lost)
  }

  health(): PoolHealth {
    const { name, max } = this.settings
    const now = monotonicNow()
    const active = this.#checkedOut.size
    const first = this.#waits[0]
    const longestWait = first === undefined ? 0 : now - first.startedAt
    const utilisation = active / max
    let oldest: Checkout | null = null
    for (const checkout of this.checkouts()) if (oldest === null || checkout.since < oldest.since) oldest = checkout
    return {
      name,
      level: healthLevel(utilisation, longestWait),
      total: this.#pool.totalCount,
      active,
      idle: this.#pool.idleCount,
      waiting: this.#waits.length,
      maximum: max,
      utilisation,
      longestWait,
      oldestCheckout: oldest === null ? null : { by: oldest.by, age: oldest.age },
      counts: { ...this.#counts },
    }
  }

  *checkouts(): Generator<Checkout> {
    for (const { checkout } of [...this.#checkedOut.values()]) yield checkout
  }

  reclaim(checkout: Checkout): void {
    for (const [guarded, entry] of [...this.#checkedOut]) {
      if (entry.checkout !== checkout) continue
      guarded.client.release = () => {}
      guarded.destroy('reclaimed', `${checkout.by} had checked it out for too long`)
      guarded.release(new ConnectionLostError(this.settings.name, 'it was reclaimed'), entry.giveBack)
    }
  }

  sendEvent<Type extends PoolEventType>(
    type: Type,
    severity: PoolEvent['severity'],
    message: string,
    details: PoolEventDetails[Type],
  ): void {
    if (type === 'leak' || type === 'reclaimed') this.#counts.leaks++
    const event = { type, severity, pool: this.settings.name, message, details, health: this.health() }
    this.settings.onEvent(event as PoolEvent)
  }

  onQueryGivenUp(reason: unknown): void {
    if (isTimeout(reason)) this.#counts.timedOut++
    else if (isAbortReason(reason)) this.#counts.aborted++
  }

  onCancelSent(): void {
    this.#counts.cancels++
  }

  onRollback(client: GuardedClient): void {
    const borrower = this.#checkedOut.get(client)?.checkout.by ?? 'its borrower'
    const message = `pool ${this.settings.name}: rolling back the transaction that ${borrower} left open`
    this.sendEvent('rolled-back', 'warn', message, { borrower })
  }

  onDestroyed(reason: DestroyReason, why: string): void {
    this.#counts.destroyed++
    this.sendEvent('destroyed', 'warn', `pool ${this.settings.name}: connection destroyed: ${why}`, { reason })
  }

  /** How many connections the pool can provide now. */
  #free(): number {
    const pool = this.#pool
    // The getter on the pool itself is replaced by `guardPool`; that of its prototype counts the
    // pool's own queue.
    const queued = Reflect.get(Object.getPrototypeOf(pool) as object, 'waitingCount', pool) as number | undefined
    return pool.idleCount + Math.max(0, this.settings.max - pool.totalCount) - (queued ?? 0)
  }

  /**
   * Requests the connections that are waited for and free. The pool's own queue stays empty,
   * because it has no timeouts.
   */
  #serve(): void {
    while (this.#requested < this.#waits.length && this.#free() > 0) {
      this.#requested++
      this.#connect((error, client, release) => {
        if (client === undefined || (error !== null && error !== undefined)) this.#connectFailed(error)
        else void this.#connected(client, release)
      })
    }
  }

  #connectFailed(error: unknown): void {
    this.#requested--
    this.#waits.shift()?.fail(error)
    this.#serve()
  }

  async #connected(client: PgClient, giveBack: GiveBack): Promise<void> {
    const guarded = this.#guarded(client)
    if (!guarded.isPrepared) {
      try {
        const hasTimeout = await guarded.prepare()
        if (!hasTimeout) this.#warnOfTimeout()
        if (!this.#hasConnected) this.#checkCapacity(guarded)
      } catch (error) {
        giveBack(error)
        this.#connectFailed(error)
        return
      }
    }
    this.#requested--
    const wait = this.#waits.shift()
    if (wait === undefined) giveBack()
    else this.#checkOut(guarded, wait, giveBack)
    this.#serve()
  }

  #checkOut(guarded: GuardedClient, wait: AcquireWait, release: GiveBack): void {
    const { checkout } = wait
    checkout.since = monotonicNow()
    const holding =
      checkout.scope === null ? null : new Holding(checkout.scope, (reason) => guarded.onBorrowerGivenUp(reason))
    const giveBack: GiveBack = (error) => {
      this.#checkedOut.delete(guarded)
      holding?.leave()
      release(error)
      this.#serve()
    }
    this.#checkedOut.set(guarded, { checkout, giveBack })
    let isReleased = false
    guarded.client.release = (error) => {
      // The error of `pg` itself.
      if (isReleased) throw new Error('Release called on client which has already been released to the pool.')
      isReleased = true
      guarded.release(error, giveBack)
    }
    wait.serve(guarded)
  }

  #guarded(client: PgClient): GuardedClient {
    const found = this.#clients.get(client)
    if (found !== undefined) return found
    const { statementTimeout, queryTimeout } = this.settings
    const guarded = new GuardedClient(client, this, new StatementTimeout(statementTimeout, queryTimeout))
    this.#clients.set(client, guarded)
    return guarded
  }

  #checkCapacity(guarded: GuardedClient): void {
    this.#hasConnected = true
    const { name } = this.settings
    void checkCapacity(guarded, this.settings, (shortage) => {
      this.sendEvent('connections', 'warn', `pool ${name}: ${formatShortage(shortage)}`, shortage)
    })
  }

  #warnOfTimeout(): void {
    if (this.#hasWarnedOfTimeout) return
    this.#hasWarnedOfTimeout = true
    const { name, queryTimeout } = this.settings
    const statementTimeout = `${Math.ceil(queryTimeout / 1_000) + 1}s`
    this.sendEvent(
      'no-statement-timeout',
      'warn',
      `pool ${name}: behind a connection pooler, statements outside a transaction have no timeout in the database; ` +
        `set one: ALTER ROLE … SET statement_timeout = '${statementTimeout}'`,
      { statementTimeout },
    )
  }
}
