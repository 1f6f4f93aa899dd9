import { join, resolve } from 'node:path'
import { monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { Backlog } from './backlog.ts'
import { QueueItem } from './batch.ts'
import { CrashMarkers } from './crash-markers.ts'
import { DeadLetterQueue } from './dead-letters.ts'
import { Delivery } from './delivery.ts'
import { HandlerRunner, type QueueHandler } from './handler.ts'
import type { HandlerSlots, LoopGate } from './handler-capacity.ts'
import { OrphanRecovery } from './orphan-recovery.ts'
import { type PendingItems, Persistence } from './persistence.ts'
import { formatItems, QueueEvents } from './queue-events.ts'
import type { QueueSettings, TransportConnection } from './queue-options.ts'
import type { QueueReport } from './queue-report.ts'
import { DropCounter, HandlerHealth, LatenessCheck } from './queue-warnings.ts'
import { thisOwner } from './spool/owner.ts'
import { payloadOf } from './spool/segment.ts'
import type { Spool } from './spool/spool.ts'
import { splitUlid } from './ulid.ts'

/** Where an item went; see `DurableQueue.push`. */
export type PushResult = 'persisted' | 'memory' | 'dropped' | 'rejected'

/** For forwarding one batch to a transport. */
const FORWARD_TIMEOUT = ms(30_000)
/** For closing idle connections of a transport. */
const CLOSE_TIMEOUT = ms(1_000)

/**
 * One queue of this process. It connects its parts: `push` writes to the spool and the backlog, the
 * delivery takes from the backlog, and what the recovery finds goes into the backlog too.
 */
export class Queue {
  readonly name: string
  readonly #settings: QueueSettings
  readonly #backlog: Backlog
  readonly #persistence: Persistence
  /** Null for a queue that is kept in memory. */
  readonly #spool: Spool | null
  readonly #recovery: OrphanRecovery
  readonly #pending: PendingItems
  readonly #delivery: Delivery
  readonly #runner: HandlerRunner
  /** Where items go in place of the handler; null when they are handled here. */
  readonly #transport: TransportConnection | null
  readonly #deadLetters: DeadLetterQueue
  readonly #drops: DropCounter
  readonly #health: HandlerHealth
  readonly #lateness: LatenessCheck
  #closed = false
  #accepted = 0

  /**
   * @param stateDir the state directory
   * @param shared by all queues of this process
   */
  constructor(
    settings: QueueSettings,
    handler: QueueHandler<unknown>,
    stateDir: string,
    shared: { readonly gate: LoopGate; readonly slots: HandlerSlots },
  ) {
    const { name, transport, attempts, timeout } = settings
    const { gate, slots } = shared
    const directory = join(resolve(stateDir), 'spool')
    const events = new QueueEvents(name, settings.onEvent)
    const backlog = new Backlog(Math.ceil(settings.maxItems / 2))
    const markers = new CrashMarkers(join(directory, name, 'dead'), thisOwner())
    const recovery = new OrphanRecovery({ directory, queue: name, backlog, markers, events })
    const persistence = new Persistence(settings, directory, recovery, events)
    const drops = new DropCounter(events)
    const health = new HandlerHealth(events)
    const deadLetters = new DeadLetterQueue(directory, name, drops, events)
    const connection = transport?.open({ name, handler, timeout, attempts, gate, slots, events, deadLetters }) ?? null
    const runner =
      connection === null
        ? new HandlerRunner(handler, { queue: name, timeout, markers })
        : new HandlerRunner((items, context) => connection.forward(items, context), {
            queue: name,
            timeout: FORWARD_TIMEOUT,
            markers,
            isForwarding: true,
          })
    const { pending } = persistence
    const delivery = new Delivery({
      // An item that cannot be forwarded is not the cause of that: it is kept until it can be.
      settings: connection === null ? settings : { ...settings, attempts: Number.POSITIVE_INFINITY },
      backlog,
      pending,
      recovery,
      runner,
      health,
      deadLetters,
      gate,
      slots,
      events,
    })
    recovery.on('items', (items, more) => {
      pending.addRecovered(items)
      backlog.pushRecovered(items)
      backlog.expectsMore = more
      delivery.wake()
    })
    this.name = name
    this.#settings = settings
    this.#backlog = backlog
    this.#persistence = persistence
    this.#spool = persistence.spool
    this.#recovery = recovery
    this.#pending = pending
    this.#delivery = delivery
    this.#runner = runner
    this.#transport = connection
    this.#deadLetters = deadLetters
    this.#drops = drops
    this.#health = health
    this.#lateness = new LatenessCheck(settings.warnAge, events)
  }

  /** Recovers the items of earlier processes, then begins to deliver. */
  start(): void {
    if (this.#delivery.isStopped) return
    if (!this.#closed) this.#recovery.start()
    this.#delivery.start()
    this.#transport?.start()
  }

  /** A process has died that may have left items. */
  recoverOrphans(): void {
    if (!this.#delivery.isStopped) this.#recovery.onProcessDeath()
  }

  /** Takes microseconds. Never throws. */
  push(item: unknown): PushResult {
    if (this.#closed) return this.#drop('closed')
    let json: string | undefined
    try {
      json = JSON.stringify(item)
    } catch (error) {
      return this.#drop('not-serializable', error)
    }
    if (json === undefined) {
      return this.#drop('not-serializable', new TypeError(`a ${typeof item} is not JSON-serializable`))
    }
    const { maxItems, maxBytes } = this.#settings
    const pending = this.#pending
    // No character takes more than three bytes: they are counted only when the queue may be full.
    if (pending.items >= maxItems || pending.bytes + json.length * 3 > maxBytes) {
      const refused = this.#dropForSpace(Buffer.byteLength(json))
      if (refused !== null) return refused
    }
    const now = monotonicNow()
    const queued = new QueueItem(splitUlid(now), json, 0, now)
    this.#spool?.append(queued, json, now, queued)
    queued.bytes = queued.isOnDisk ? payloadOf(queued) : Buffer.byteLength(json)
    pending.add(queued)
    this.#backlog.push(queued)
    this.#accepted++
    this.#delivery.onPush(now)
    return queued.isOnDisk ? 'persisted' : 'memory'
  }

  /** Nothing is left to deliver, or nothing more will be. */
  get isDone(): boolean {
    return this.#delivery.isStopped || this.#delivery.isEmpty
  }

  flush(timeout: Milliseconds): Promise<boolean> {
    return this.#delivery.flush(timeout)
  }

  synced(timeout: Milliseconds): Promise<void> {
    return this.#persistence.synced(timeout)
  }

  /** Delivers until `timeout`, then stops. Other items, and later ones, stay on disk. */
  async drain(timeout: Milliseconds): Promise<void> {
    await Promise.all([this.#delivery.flush(timeout), this.#transport?.stop(timeout)])
    this.#delivery.stop()
    this.#recovery.close()
    await this.#transport?.close(CLOSE_TIMEOUT)
  }

  /** Drains, and accepts nothing more. */
  async close(timeout: Milliseconds): Promise<void> {
    this.#closed = true
    await this.drain(timeout)
    this.#countLost()
    await this.#spool?.close()
  }

  /** The process exits. */
  onExit(): void {
    if (!this.#closed) this.#countLost()
    this.#spool?.closeSync()
  }

  /** To be called about once a second. */
  onSecond(): void {
    const now = monotonicNow()
    this.#drops.reportDue(now)
    this.#deadLetters.reportDue(now)
    this.#lateness.check(this.#oldestAge(now))
    if (!this.#delivery.isStopped) this.#recovery.checkDue()
  }

  /** What is left to do, in words: `durable queue mails (12 items)`. Null if nothing is. */
  unfinished(): string | null {
    const { items, recoveredItems } = this.#pending
    const depth = items + recoveredItems
    const running = this.#transport?.report().running ?? 0
    const jobs = running === 1 ? '1 running job' : `${running} running jobs`
    const parts = [depth === 0 ? '' : formatItems(depth), running === 0 ? '' : jobs].filter((part) => part !== '')
    return parts.length === 0 ? null : `durable queue ${this.name} (${parts.join(', ')})`
  }

  report(): QueueReport {
    const now = monotonicNow()
    const { items, bytes, recoveredItems, recoveredBytes, inMemory } = this.#pending
    const delivery = this.#delivery
    const { longest } = delivery
    return {
      state: delivery.state,
      depth: items + recoveredItems,
      bytes: bytes + recoveredBytes,
      oldestAgeMs: this.#oldestAge(now),
      late: this.#lateness.isLate,
      inMemory,
      accepted: this.#accepted,
      delivered: delivery.delivered,
      batches: delivery.batches,
      failures: this.#health.failures,
      retries: this.#runner.retries,
      drops: { ...this.#drops.total },
      deadLetters: this.#deadLetters.count,
      adopted: this.#recovery.recovered,
      degraded: this.#persistence.degraded,
      inHandler:
        longest === null
          ? null
          : {
              forMs: Math.round(now - longest.since),
              items: longest.batch.items.length,
              attempt: longest.batch.failed + 1,
            },
      abandonedCalls: this.#runner.abandoned,
      jobs: this.#transport?.report() ?? null,
      lastDeliveredAt: delivery.lastDeliveredAt,
      lastError: this.#health.lastError,
    }
  }

  #countLost(): void {
    const lost = this.#persistence.reportLost()
    if (lost > 0) this.#drops.count('lost', lost)
  }

  #drop(
    reason: 'closed' | 'not-serializable' | 'too-large' | 'full' | 'rejected',
    error?: unknown,
  ): 'dropped' | 'rejected' {
    this.#drops.add(reason, 1, error)
    return reason === 'rejected' ? 'rejected' : 'dropped'
  }

  /** Null when the item fits now. Items that a handler already has are not dropped. */
  #dropForSpace(bytes: number): 'dropped' | 'rejected' | null {
    const { maxItems, maxBytes, onFull } = this.#settings
    const pending = this.#pending
    if (pending.items < maxItems && pending.bytes + bytes <= maxBytes) return null
    if (bytes > maxBytes) return this.#drop('too-large')
    if (onFull === 'reject') return this.#drop('rejected')
    while (onFull === 'drop-oldest' && (pending.items >= maxItems || pending.bytes + bytes > maxBytes)) {
      const oldest = this.#backlog.shiftOwn()
      if (oldest === undefined) break
      pending.settle([oldest])
      this.#drops.add('oldest')
    }
    return pending.items < maxItems && pending.bytes + bytes <= maxBytes ? null : this.#drop('full')
  }

  /** In milliseconds; null when there are no items. */
  #oldestAge(now: number): number | null {
    let oldest = Number.POSITIVE_INFINITY
    for (const head of this.#backlog.heads()) oldest = Math.min(oldest, head?.at ?? oldest)
    for (const { items } of this.#delivery.openBatches()) oldest = Math.min(oldest, items[0]?.at ?? oldest)
    return oldest === Number.POSITIVE_INFINITY ? null : Math.max(0, Math.round(now - oldest))
  }
}
