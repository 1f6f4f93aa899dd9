import { ConnectionLostError } from '../database/query-errors.ts'
import { isAbortReason, isTimeout } from '../resilience/abort-reason.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { AcquireWait } from './acquire-wait.ts'
import type { Borrow } from './borrow.ts'
import { checkConnections, forgetConnections } from './check-connections.ts'
import { limitConnecting } from './connect-timeout.ts'
import { tellShortage } from './connection-needs.ts'
import { type ClientOwner, GuardedClient } from './guarded-client.ts'
import type { ConnectCallback, PgClient, RawPool } from './pg-shape.ts'
import type { DestroyReason, PoolEvent, PoolEventDetails, PoolEventType } from './pool-events.ts'
import { healthLevel, type PoolCounts, type PoolHealth } from './pool-health.ts'
import type { GuardSettings } from './pool-options.ts'
import { PoolWatch, type Watched } from './pool-watch.ts'
import { SessionLimit } from './server-limit.ts'

type GiveBack = (error?: unknown) => void

/** So much longer than the opening itself may take, in milliseconds: its own error says more than that of a wait for it. */
const OPENING_GRACE = 100

/** The queue in front of a pool, and what is known of its connections. */
export class PoolGuard implements ClientOwner, Watched {
  readonly settings: GuardSettings
  readonly #pool: RawPool
  readonly #connect: (callback: ConnectCallback) => void
  readonly #watch: PoolWatch
  readonly #clients = new WeakMap<PgClient, GuardedClient>()
  /** Lent, or being tidied up after they were. */
  readonly #lent = new Map<GuardedClient, { readonly borrow: Borrow; readonly giveBack: GiveBack }>()
  #waits: AcquireWait[] = []
  /** Connections asked of the pool that it has not given yet. */
  #asked = 0
  readonly #counts: { -readonly [Key in keyof PoolCounts]: number } = {
    timedOut: 0,
    aborted: 0,
    cancels: 0,
    destroyed: 0,
    leaks: 0,
  }
  #toldNoServerLimit = false
  #connected = false

  constructor(pool: RawPool, settings: GuardSettings) {
    this.#pool = pool
    this.settings = settings
    this.#connect = pool.connect.bind(pool)
    limitConnecting(pool, settings.name, settings.connectTimeout)
    pool.on('connect', (client: PgClient) => this.#guarded(client))
    pool.on('remove', () => this.#serve())
    // Without a listener the end of an idle connection ends the process.
    pool.on('error', (error: Error) => {
      this.tell('lost', 'warn', `pool ${settings.name} lost an idle connection: ${error.message}`, {
        error: error.message,
      })
    })
    this.#watch = new PoolWatch(this)
  }

  get waiting(): number {
    return this.#waits.length
  }

  /** A connection, in the order of asking. The client's `release` gives it back. */
  acquire(borrow: Borrow): Promise<GuardedClient> {
    return new Promise((resolve, reject) => {
      // A pool that was ended says so itself.
      if (this.#pool.ending === true) return this.#connect((error) => reject(error))
      const { name, acquireTimeout, connectTimeout } = this.settings
      // Whoever finds everything taken has less patience than one for whom a connection is being opened.
      const opening = this.#asked > this.#waits.length || this.#free() > 0
      const limit = opening ? ms(connectTimeout + OPENING_GRACE) : acquireTimeout
      const wait = new AcquireWait(
        name,
        limit,
        borrow,
        () => this.health(),
        (given) => {
          this.#waits = this.#waits.filter((other) => other !== given)
          this.noteEnded(given.reason)
        },
        (error, client) => (client === undefined ? reject(error) : resolve(client)),
      )
      this.#waits.push(wait)
      wait.start()
      this.#serve()
    })
  }

  /** No more connections. Whoever waits for one is told. */
  end(): void {
    this.#watch.stop()
    forgetConnections(this.settings)
    const gone = new ConnectionLostError(this.settings.name, 'the pool was ended')
    for (const wait of this.#waits.splice(0)) wait.fail(gone)
  }

  health(): PoolHealth {
    const { name, max } = this.settings
    const now = monotonicNow()
    const active = this.#lent.size
    const first = this.#waits[0]
    const longestWait = first === undefined ? 0 : now - first.startedAt
    const utilisation = active / max
    let oldest: Borrow | null = null
    for (const { borrow } of this.#lent.values()) if (oldest === null || borrow.since < oldest.since) oldest = borrow
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
      oldestBorrow: oldest === null ? null : { by: oldest.by, age: oldest.age },
      counts: { ...this.#counts },
    }
  }

  *borrows(): Generator<Borrow> {
    for (const { borrow } of [...this.#lent.values()]) yield borrow
  }

  reclaim(borrow: Borrow): void {
    for (const [guarded, lent] of [...this.#lent]) {
      if (lent.borrow !== borrow) continue
      guarded.client.release = () => {}
      guarded.destroy('reclaimed', `${borrow.by} had borrowed it for too long`)
      guarded.leave(new ConnectionLostError(this.settings.name, 'it was taken back'), lent.giveBack)
    }
  }

  tell<Type extends PoolEventType>(
    type: Type,
    severity: PoolEvent['severity'],
    message: string,
    details: PoolEventDetails[Type],
  ): void {
    if (type === 'leak' || type === 'reclaimed') this.#counts.leaks++
    const event = { type, severity, pool: this.settings.name, message, details, health: this.health() }
    this.settings.onEvent(event as PoolEvent)
  }

  noteEnded(reason: unknown): void {
    if (isTimeout(reason)) this.#counts.timedOut++
    else if (isAbortReason(reason)) this.#counts.aborted++
  }

  noteCancel(): void {
    this.#counts.cancels++
  }

  noteRolledBack(client: GuardedClient): void {
    const borrower = this.#lent.get(client)?.borrow.by ?? 'its borrower'
    const message = `pool ${this.settings.name} rolls back the transaction that ${borrower} left open`
    this.tell('rolled-back', 'warn', message, { borrower })
  }

  noteDestroyed(reason: DestroyReason, why: string): void {
    this.#counts.destroyed++
    this.tell('destroyed', 'warn', `pool ${this.settings.name} destroyed a connection: ${why}`, { reason })
  }

  /** How many more connections the pool can give without making anybody wait. */
  #free(): number {
    const pool = this.#pool
    // Ours hides the getter of the pool, which counts whom it has not served yet.
    const queued = Reflect.get(Object.getPrototypeOf(pool) as object, 'waitingCount', pool) as number | undefined
    return pool.idleCount + Math.max(0, this.settings.max - pool.totalCount) - (queued ?? 0)
  }

  /** Asks the pool for as many connections as are waited for and it can give. Its own queue has no limits, so it is never let to form. */
  #serve(): void {
    while (this.#asked < this.#waits.length && this.#free() > 0) {
      this.#asked++
      this.#connect((error, client, release) => {
        if (client === undefined || (error !== null && error !== undefined)) this.#failed(error)
        else void this.#opened(client, release)
      })
    }
  }

  #failed(error: unknown): void {
    this.#asked--
    this.#waits.shift()?.fail(error)
    this.#serve()
  }

  async #opened(client: PgClient, giveBack: GiveBack): Promise<void> {
    const guarded = this.#guarded(client)
    if (!guarded.prepared) {
      try {
        const found = await guarded.prepare()
        if (!found) this.#tellNoServerLimit()
        if (!this.#connected) this.#checkConnections(guarded)
      } catch (error) {
        giveBack(error)
        this.#failed(error)
        return
      }
    }
    this.#asked--
    const wait = this.#waits.shift()
    if (wait === undefined) giveBack()
    else this.#lend(guarded, wait, giveBack)
    this.#serve()
  }

  #lend(guarded: GuardedClient, wait: AcquireWait, release: GiveBack): void {
    const { borrow } = wait
    borrow.since = monotonicNow()
    const giveBack: GiveBack = (error) => {
      this.#lent.delete(guarded)
      release(error)
      this.#serve()
    }
    this.#lent.set(guarded, { borrow, giveBack })
    let released = false
    guarded.client.release = (error) => {
      if (released) throw new Error('Release called on client which has already been released to the pool.')
      released = true
      guarded.leave(error, giveBack)
    }
    wait.serve(guarded)
  }

  #guarded(client: PgClient): GuardedClient {
    const found = this.#clients.get(client)
    if (found !== undefined) return found
    const { serverLimit, queryTimeout } = this.settings
    const guarded = new GuardedClient(client, this, new SessionLimit(serverLimit, queryTimeout))
    this.#clients.set(client, guarded)
    return guarded
  }

  #checkConnections(guarded: GuardedClient): void {
    this.#connected = true
    const { name } = this.settings
    void checkConnections(guarded, this.settings, (shortage) => {
      this.tell('connections', 'warn', `pool ${name}: ${tellShortage(shortage)}`, shortage)
    })
  }

  #tellNoServerLimit(): void {
    if (this.#toldNoServerLimit) return
    this.#toldNoServerLimit = true
    const statementTimeout = `${Math.ceil(this.settings.queryTimeout / 1_000) + 1}s`
    this.tell(
      'no-server-limit',
      'warn',
      `pool ${this.settings.name} is behind a connection bouncer, and the database ends no statement outside a transaction by itself: ` +
        `have it do so with ALTER ROLE … SET statement_timeout = '${statementTimeout}'`,
      { statementTimeout },
    )
  }
}
