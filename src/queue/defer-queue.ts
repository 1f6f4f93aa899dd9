import { join, resolve } from 'node:path'
import type { QueueReport } from '../diagnostics/modules/defer-report.ts'
import { ShutdownError } from '../resilience/abort-reason.ts'
import { monotonicNow, wallClock } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { Backlog } from './backlog.ts'
import { type Batch, newBatch } from './batch.ts'
import { callHandler, type QueueHandler } from './call-handler.ts'
import { type QueueEvent, tellError, tellItems } from './defer-events.ts'
import type { QueueSettings } from './defer-options.ts'
import { DeferredItem } from './deferred-item.ts'
import { Delivery, type DeliveryOwner } from './delivery.ts'
import { DropCounter } from './drop-counter.ts'
import { Graveyard } from './graveyard.ts'
import { HandlerHealth } from './handler-health.ts'
import type { HandlerSlots } from './handler-slots.ts'
import { DEADLY, HandlingMarks, KILLS_PROCESS } from './handling-marks.ts'
import type { Holdings } from './holdings.ts'
import { Inheritance } from './inheritance.ts'
import { Lateness } from './lateness.ts'
import type { LoopGate } from './loop-gate.ts'
import { PermanentError } from './permanent-error.ts'
import { Safekeeping } from './safekeeping.ts'
import { thisOwner } from './spool/owner.ts'
import { payloadOf } from './spool/segment.ts'
import type { Spool } from './spool/spool.ts'
import { splitUlid } from './ulid.ts'
import type { ViaLink } from './via.ts'

/** Where an item went: to disk, into memory alone, nowhere, or back to its caller (`onFull: 'reject'`). */
export type PushResult = 'persisted' | 'memory' | 'dropped' | 'rejected'

/** For one batch to be taken elsewhere. */
const FORWARD_LIMIT = ms(30_000)
/** To let go of connections that nobody uses any more. */
const LINK_LIMIT = ms(1_000)

/** One queue of this process: what it accepts it has handled, or leaves to another process. */
export class Queue implements DeliveryOwner {
  readonly settings: QueueSettings
  readonly backlog: Backlog
  readonly gate: LoopGate
  readonly slots: HandlerSlots
  readonly #handler: QueueHandler<unknown>
  readonly #tell: (event: Omit<QueueEvent, 'queue'>) => void
  /** Where items go in place of the handler; null when they are handled here. */
  readonly #link: ViaLink | null
  readonly #safekeeping: Safekeeping
  /** Null for a queue that is kept in memory. */
  readonly #spool: Spool | null
  readonly #marks: HandlingMarks
  readonly #inheritance: Inheritance
  readonly #holdings: Holdings
  readonly #delivery: Delivery
  readonly #graveyard: Graveyard
  readonly #drops: DropCounter
  readonly #health: HandlerHealth
  readonly #lateness: Lateness
  readonly #stop = new AbortController()
  #closed = false
  #zombies = 0
  #accepted = 0
  #delivered = 0
  #batches = 0
  #retries = 0
  #lastDeliveredAt: string | null = null

  /** @param stateDir absolute path of the state directory */
  constructor(
    settings: QueueSettings,
    handler: QueueHandler<unknown>,
    stateDir: string,
    shared: { readonly gate: LoopGate; readonly slots: HandlerSlots },
  ) {
    const { name, transport } = settings
    // An item that cannot be taken elsewhere is not to blame for it: it stays until it can. The handler's limit is for whoever calls it there.
    this.settings =
      transport === null ? settings : { ...settings, attempts: Number.POSITIVE_INFINITY, limit: FORWARD_LIMIT }
    this.backlog = new Backlog(Math.ceil(settings.maxItems / 2))
    this.gate = shared.gate
    this.slots = shared.slots
    const directory = join(resolve(stateDir), 'spool')
    const tell = (event: Omit<QueueEvent, 'queue'>): void => settings.onEvent({ ...event, queue: name })
    this.#tell = tell
    this.#marks = new HandlingMarks(join(directory, name, 'dead'), thisOwner())
    this.#inheritance = new Inheritance({
      directory,
      queue: name,
      waiting: () => this.backlog.adopted,
      take: (items, more) => {
        this.#holdings.adopt(items)
        this.backlog.adopt(items)
        this.backlog.awaitsMore = more
        this.#delivery.wake()
      },
      marks: this.#marks,
      tell,
    })
    this.#safekeeping = new Safekeeping(settings, directory, this.#inheritance, tell)
    this.#spool = this.#safekeeping.spool
    this.#holdings = this.#safekeeping.holdings
    this.#drops = new DropCounter(name, tell)
    this.#health = new HandlerHealth(name, tell)
    this.#lateness = new Lateness(settings, tell)
    this.#graveyard = new Graveyard(directory, name, this.#drops, tell)
    this.#delivery = new Delivery(this)
    const link =
      transport?.open({
        name,
        handler,
        limit: settings.limit,
        attempts: settings.attempts,
        gate: shared.gate,
        slots: shared.slots,
        tell,
        bury: (item, attempts, error) => this.#graveyard.add({ ...newBatch([item]), failed: attempts }, error),
      }) ?? null
    this.#link = link
    this.#handler = link === null ? handler : (items, context) => link.forward(items, context)
  }

  /** Takes over what earlier processes have left, then begins to deliver. */
  start(): void {
    if (this.#stop.signal.aborted) return
    if (!this.#closed) this.#inheritance.begin()
    this.#delivery.start()
    this.#link?.start()
  }

  /** Some process has died that may have left something. */
  adopt(): void {
    if (!this.#stop.signal.aborted) this.#inheritance.urge()
  }

  /** In microseconds, and it never throws. */
  push(item: unknown): PushResult {
    if (this.#closed) return this.#drop('closed')
    let json: string | undefined
    try {
      json = JSON.stringify(item)
    } catch (error) {
      return this.#drop('unserialisable', error)
    }
    if (json === undefined) return this.#drop('unserialisable', new TypeError(`there is no JSON for ${typeof item}`))
    const { maxItems, maxBytes } = this.settings
    const holdings = this.#holdings
    // No character takes more than three bytes: they are counted only where the queue may be full.
    if (holdings.items >= maxItems || holdings.bytes + json.length * 3 > maxBytes) {
      const refused = this.#makeRoom(Buffer.byteLength(json))
      if (refused !== null) return refused
    }
    const now = monotonicNow()
    const deferred = new DeferredItem(splitUlid(now), json, 0, now)
    this.#spool?.append(deferred, json, now, deferred)
    deferred.bytes = deferred.isOnDisk ? payloadOf(deferred) : Buffer.byteLength(json)
    holdings.add(deferred)
    this.backlog.push(deferred)
    this.#accepted++
    this.#delivery.noteNew(now)
    return deferred.isOnDisk ? 'persisted' : 'memory'
  }

  /** Nothing is left to deliver, or nothing more will be. */
  get isDone(): boolean {
    return this.#stop.signal.aborted || this.#delivery.isEmpty
  }

  flush(limit: Milliseconds): Promise<boolean> {
    return this.#delivery.flush(limit)
  }

  synced(limit: Milliseconds): Promise<void> {
    return this.#safekeeping.synced(limit)
  }

  /** Delivers for as long as `limit` allows, then stops: what is left stays on disk. Items that come later are only written down. */
  async drain(limit: Milliseconds): Promise<void> {
    await Promise.all([this.#delivery.flush(limit), this.#link?.stop(limit)])
    this.#delivery.stop()
    this.#stop.abort(new ShutdownError())
    this.#inheritance.close()
    await this.#link?.close(LINK_LIMIT)
  }

  /** Drains, and accepts nothing more. */
  async close(limit: Milliseconds): Promise<void> {
    this.#closed = true
    await this.drain(limit)
    this.#leaveRest()
    await this.#spool?.close()
  }

  /** The last moment of the process. */
  exit(): void {
    if (!this.#closed) this.#leaveRest()
    this.#spool?.closeSync()
  }

  /** About once a second. */
  keepUp(): void {
    const now = monotonicNow()
    this.#drops.tellDue(now)
    this.#graveyard.tellDue(now)
    this.#lateness.look(this.#oldestAge(now))
    if (!this.#stop.signal.aborted) this.#inheritance.lookDue()
  }

  async call(batch: Batch, attempt: number): Promise<{ readonly error: unknown } | null> {
    if (batch.failed > 0) this.#retries++
    this.#inheritance.look(false)
    const { deaths = 0, legacy = null } = batch.items[0] ?? {}
    if (deaths >= DEADLY && this.#link === null) {
      const error = new PermanentError(`${deaths} processes died while they handled this item`)
      return { error: Object.assign(error, { code: KILLS_PROCESS }) }
    }
    const unmark = legacy === null ? null : this.#marks.begin(batch.items)
    const failure = await callHandler(this.#handler, batch.items, {
      queue: this.settings.name,
      limit: this.settings.limit,
      attempt,
      stop: this.#stop.signal,
      onZombie: (change) => {
        this.#zombies += change
      },
    })
    unmark?.()
    return failure
  }

  delivered(batch: Batch): void {
    this.#holdings.settle(batch.items)
    this.#delivered += batch.items.length
    this.#batches++
    this.#lastDeliveredAt = wallClock().toISOString()
    this.#health.succeeded()
  }

  failed(batch: Batch, error: unknown, again: number): void {
    this.#health.failed(batch, error, again)
  }

  async bury(batch: Batch, error: unknown): Promise<boolean> {
    if (!(await this.#graveyard.add(batch, error))) return false
    this.#holdings.settle(batch.items)
    return true
  }

  faulted(batch: Batch, error: unknown): void {
    const why = tellError(error)
    const items = batch.items.length
    const message = `deferred ${this.settings.name}: delivery failed unexpectedly with ${tellItems(items)}; they are kept: ${why}`
    this.#tell({ type: 'delivery-failed', severity: 'error', message, details: { items, error: why } })
  }

  report(): QueueReport {
    const now = monotonicNow()
    const { items, bytes, adoptedItems, adoptedBytes, inMemory } = this.#holdings
    const { longest } = this.#delivery
    return {
      state: this.#delivery.state,
      depth: items + adoptedItems,
      bytes: bytes + adoptedBytes,
      oldestAgeMs: this.#oldestAge(now),
      late: this.#lateness.isLate,
      inMemory,
      accepted: this.#accepted,
      delivered: this.#delivered,
      batches: this.#batches,
      failures: this.#health.failures,
      retries: this.#retries,
      drops: { ...this.#drops.total },
      deadLetters: this.#graveyard.buried,
      adopted: this.#inheritance.adopted,
      degraded: this.#safekeeping.degraded,
      inHandler:
        longest === null
          ? null
          : {
              forMs: Math.round(now - longest.since),
              items: longest.batch.items.length,
              attempt: longest.batch.failed + 1,
            },
      zombies: this.#zombies,
      jobs: this.#link?.report() ?? null,
      lastDeliveredAt: this.#lastDeliveredAt,
      lastError: this.#health.lastError,
    }
  }

  #leaveRest(): void {
    const lost = this.#safekeeping.tellLost()
    if (lost > 0) this.#drops.count('lost', lost)
  }

  #drop(reason: 'closed' | 'unserialisable' | 'too-large' | 'full' | 'rejected', error?: unknown): PushResult {
    this.#drops.add(reason, 1, error)
    return reason === 'rejected' ? 'rejected' : 'dropped'
  }

  /** Null when there is room now. What a handler has been given already does not make room. */
  #makeRoom(bytes: number): PushResult | null {
    const { maxItems, maxBytes, onFull } = this.settings
    const holdings = this.#holdings
    if (holdings.items < maxItems && holdings.bytes + bytes <= maxBytes) return null
    if (bytes > maxBytes) return this.#drop('too-large')
    if (onFull === 'reject') return this.#drop('rejected')
    while (onFull === 'drop-oldest' && (holdings.items >= maxItems || holdings.bytes + bytes > maxBytes)) {
      const oldest = this.backlog.shiftOwn()
      if (oldest === undefined) break
      holdings.settle([oldest])
      this.#drops.add('oldest')
    }
    return holdings.items < maxItems && holdings.bytes + bytes <= maxBytes ? null : this.#drop('full')
  }

  /** Milliseconds; null when there is nothing. */
  #oldestAge(now: number): number | null {
    let oldest = Number.POSITIVE_INFINITY
    for (const head of this.backlog.heads()) oldest = Math.min(oldest, head?.at ?? oldest)
    for (const { items } of this.#delivery.batches()) oldest = Math.min(oldest, items[0]?.at ?? oldest)
    return oldest === Number.POSITIVE_INFINITY ? null : Math.max(0, Math.round(now - oldest))
  }
}
