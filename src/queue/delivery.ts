import { ShutdownError } from '../resilience/abort-reason.ts'
import { delayAfter } from '../resilience/back-off.ts'
import { monotonicNow, wallClock } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { WheelEntry, waitWheel } from '../resilience/timer-wheel.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import type { Backlog } from './backlog.ts'
import { type Batch, failureAction, newBatch, partOf } from './batch.ts'
import type { DeadLetterQueue } from './dead-letters.ts'
import { type HandlerRunner, idsOf, isPermanent } from './handler.ts'
import type { HandlerSlots, LoopGate } from './handler-capacity.ts'
import type { OrphanRecovery } from './orphan-recovery.ts'
import type { PendingItems } from './persistence.ts'
import { formatError, formatItems, type QueueEvents } from './queue-events.ts'
import type { QueueSettings } from './queue-options.ts'
import type { QueueState } from './queue-report.ts'
import type { HandlerHealth } from './queue-warnings.ts'

/** What a delivery works with; it calls these, and none of them calls it. */
export interface DeliveryParts {
  readonly settings: Pick<QueueSettings, 'attempts' | 'backOff' | 'batch' | 'concurrency' | 'linger'>
  readonly backlog: Backlog
  readonly pending: PendingItems
  readonly recovery: OrphanRecovery
  readonly runner: HandlerRunner
  readonly health: HandlerHealth
  readonly deadLetters: DeadLetterQueue
  readonly gate: LoopGate
  readonly slots: HandlerSlots
  readonly events: QueueEvents
}

interface RunningBatch {
  readonly batch: Batch
  readonly since: number
}

/** The timer wheel runs it outside of any request. */
class Alarm extends WheelEntry {
  readonly #ring: () => void

  constructor(ring: () => void) {
    super()
    this.#ring = ring
  }

  override expire(): void {
    this.#ring()
  }
}

/**
 * Delivers the items of a queue to its handler, in batches and in order, with lower priority than
 * everything else in the process.
 *
 * A batch that fails stays first in line and is retried after a back-off. From its second failure
 * on it is halved, down to the item that makes it fail. That item is isolated: it is retried on its
 * own, in turn with the others, until it has failed often enough. It gets at most half of the time,
 * so an item that hangs until its timeout does not starve the others. While nothing succeeds there
 * is one call for each back-off, so an outage costs a dead letter now and then, and no more.
 */
export class Delivery {
  /** Items that the handler has handled. */
  delivered = 0
  /** Calls that succeeded. */
  batches = 0
  /** ISO time; null before the first. */
  lastDeliveredAt: string | null = null
  readonly #parts: DeliveryParts
  readonly #alarm = new Alarm(() => this.#pump())
  /** Infinite if the alarm is not set; minus infinite while a delivery will check again anyway. */
  #alarmAt = Number.POSITIVE_INFINITY
  /** Batches that are tried before anything new, in order. */
  readonly #first: Batch[] = []
  /** Single items that have failed alone, each with its own time of retry. */
  readonly #isolated: Batch[] = []
  readonly #running = new Set<RunningBatch>()
  /** Deliveries in progress, up to `concurrency`. */
  #deliveries = 0
  /**
   * - `starting`: the module that created the queue is still loading.
   * - `running`: items are delivered.
   * - `stopped`: no call begins any more, and the running ones are aborted.
   */
  #phase: 'starting' | 'running' | 'stopped' = 'starting'
  readonly #abort = new AbortController()
  #failuresInARow = 0
  #lastDelay = 0
  /** The handler has failed: nothing is tried before, in milliseconds of the monotonic clock. */
  #notBefore = 0
  #lastBegan = 0
  /** Until then, items that are not isolated have precedence. */
  #othersUntil = 0
  /** Resolve the promises of `flush`. */
  readonly #flushes = new Set<(empty: boolean) => void>()

  constructor(parts: DeliveryParts) {
    this.#parts = parts
  }

  start(): void {
    if (this.#phase === 'starting') this.#phase = 'running'
    this.wake()
  }

  /** Begins no more calls, and ends the waits for an empty queue. */
  stop(): void {
    this.#phase = 'stopped'
    waitWheel.cancel(this.#alarm)
    for (const resolve of this.#flushes) resolve(this.isEmpty)
    this.#abort.abort(new ShutdownError())
  }

  get isStopped(): boolean {
    return this.#phase === 'stopped'
  }

  /** An item was added to the backlog. Called for every push. */
  onPush(now: number): void {
    const { backlog, settings } = this.#parts
    const due = Math.max(this.#notBefore, backlog.ready < settings.batch ? now + settings.linger : now)
    if (due < this.#alarmAt) this.#setAlarm(due, now)
  }

  wake(): void {
    const now = monotonicNow()
    if (now < this.#alarmAt) this.#setAlarm(now, now)
  }

  /** Delivers without waiting for more items; false if some are left after `timeout`. */
  async flush(timeout: Milliseconds): Promise<boolean> {
    if (this.isEmpty || this.isStopped) return this.isEmpty
    let end: ((empty: boolean) => void) | null = null
    const start = (resolve: (empty: boolean) => void): void => {
      end = resolve
      this.#flushes.add(resolve)
      this.wake()
    }
    try {
      return await promiseAtMost(timeout, start, () => false)
    } finally {
      if (end !== null) this.#flushes.delete(end)
    }
  }

  /** Always false before the start: items of an earlier process may be found. */
  get isEmpty(): boolean {
    const { backlog } = this.#parts
    const waiting = backlog.length + this.#first.length + this.#isolated.length
    return this.#phase !== 'starting' && waiting + this.#deliveries === 0 && !backlog.expectsMore
  }

  get state(): QueueState {
    if (this.#running.size > 0) return 'delivering'
    if (this.#phase !== 'running') return this.#phase
    if (this.isEmpty) return 'idle'
    return this.#notBefore > monotonicNow() ? 'backing-off' : 'gathering'
  }

  /** The longest running call. */
  get longest(): RunningBatch | null {
    for (const running of this.#running) return running
    return null
  }

  /** All batches that were taken from the backlog and are not finished. */
  *openBatches(): Generator<Batch> {
    for (const { batch } of this.#running) yield batch
    yield* this.#first
    yield* this.#isolated
  }

  #setAlarm(due: number, now: number): void {
    if (this.#phase !== 'running') return
    this.#alarmAt = due
    waitWheel.set(this.#alarm, due, false, now)
  }

  #pump(): void {
    this.#alarmAt = Number.NEGATIVE_INFINITY
    while (this.#deliveries < this.#parts.settings.concurrency) {
      const now = monotonicNow()
      const due = this.#due(now)
      if (due > now) {
        this.#alarmAt = Number.POSITIVE_INFINITY
        if (due < this.#alarmAt) this.#setAlarm(due, now)
        break
      }
      this.#deliveries++
      const done = (): void => {
        this.#deliveries--
        this.#pump()
      }
      // It rejects only if reporting a fault fails too. That must not go unnoticed.
      void this.#deliver().finally(done)
    }
    if (this.#flushes.size > 0 && this.isEmpty) for (const resolve of this.#flushes) resolve(true)
  }

  /** When there is something to deliver, in milliseconds of the monotonic clock. */
  #due(now: number): number {
    if (this.#phase !== 'running') return Number.POSITIVE_INFINITY
    let due = this.#othersDue(now)
    for (const { notBefore } of this.#isolated) due = Math.min(due, notBefore)
    return Math.max(due, this.#notBefore)
  }

  /** The same for items that are not isolated. */
  #othersDue(now: number): number {
    if (this.#first.length > 0) return now
    const { backlog, settings } = this.#parts
    const head = backlog.peek()
    if (head === undefined) return Number.POSITIVE_INFINITY
    const isFull = backlog.ready >= settings.batch || this.#flushes.size > 0
    return isFull ? now : head.at + settings.linger
  }

  /** Delivers one batch. */
  async #deliver(): Promise<void> {
    const { gate, slots, recovery, runner } = this.#parts
    if (this.#flushes.size === 0) await gate.pass(this.#lastBegan)
    const release = await slots.take()
    const now = monotonicNow()
    const batch = this.#due(now) > now ? null : this.#takeBatch(now)
    if (batch === null) {
      release()
      return
    }
    this.#lastBegan = now
    const running = { batch, since: now }
    this.#running.add(running)
    let isHandled = false
    try {
      recovery.readMore()
      const failure = await runner.callWith(batch, this.#abort.signal).finally(() => {
        release()
        this.#running.delete(running)
      })
      const ended = monotonicNow()
      if (batch.isIsolated) this.#othersUntil = ended + (ended - now)
      if (failure === null) {
        isHandled = true
        this.#onSuccess(batch)
      } else if (this.isStopped) {
        this.#first.unshift(batch)
      } else {
        await this.#onFailure(batch, failure.error)
      }
    } catch (error) {
      if (!isHandled) this.#requeue(batch)
      this.#backOff()
      this.#reportFault(batch, error)
    }
  }

  #takeBatch(now: number): Batch | null {
    if (now >= this.#othersUntil || this.#othersDue(now) > now) {
      const index = this.#isolated.findIndex(({ notBefore }) => notBefore <= now)
      if (index !== -1) return this.#isolated.splice(index, 1)[0] ?? null
    }
    const first = this.#first.shift()
    if (first !== undefined) return first
    const items = this.#parts.backlog.take(this.#parts.settings.batch)
    return items.length === 0 ? null : newBatch(items)
  }

  #onSuccess({ items }: Batch): void {
    this.#failuresInARow = 0
    this.#notBefore = 0
    this.#parts.pending.settle(items)
    this.delivered += items.length
    this.batches++
    this.lastDeliveredAt = wallClock().toISOString()
    this.#parts.health.succeeded()
  }

  async #onFailure(batch: Batch, error: unknown): Promise<void> {
    const { health, settings } = this.#parts
    batch.failed++
    batch.firstFailedAt ??= wallClock().toISOString()
    const permanent = isPermanent(error)
    const failed = idsOf(error)
    if (failed.size > 0 && batch.items.some(({ id }) => failed.has(id))) {
      await this.#deadLetterNamed(batch, failed, error)
      return
    }
    const action = failureAction(batch, settings.attempts, permanent)
    // An item that is known to fail on its own says nothing about the others.
    const delay = permanent || batch.isIsolated ? 0 : this.#backOff()
    health.failed(batch, error, delay)
    if (action === 'dead-letter') {
      if (!(await this.#deadLetter(batch, error))) this.#isolate(batch)
    } else if (action === 'isolate') {
      this.#isolate(batch)
    } else if (action === 'halve') {
      const middle = Math.ceil(batch.items.length / 2)
      this.#first.unshift(partOf(batch, batch.items.slice(0, middle)), partOf(batch, batch.items.slice(middle)))
    } else {
      this.#first.unshift(batch)
    }
  }

  /** Dead-letters the items that the handler has named, and retries the others as before. */
  async #deadLetterNamed(batch: Batch, failed: ReadonlySet<string>, error: unknown): Promise<void> {
    const named = partOf(
      batch,
      batch.items.filter(({ id }) => failed.has(id)),
    )
    const others = batch.items.filter(({ id }) => !failed.has(id))
    this.#parts.health.failed(named, error, 0)
    if (others.length > 0) this.#first.unshift({ ...partOf(batch, others), failed: batch.failed - 1 })
    if (await this.#deadLetter(named, error)) return
    for (const item of named.items) this.#isolate(partOf(named, [item]))
  }

  /** False when the items could not be written, and are kept. */
  async #deadLetter(batch: Batch, error: unknown): Promise<boolean> {
    if (!(await this.#parts.deadLetters.deadLetter(batch, error))) return false
    this.#parts.pending.settle(batch.items)
    return true
  }

  #isolate(batch: Batch): void {
    batch.isIsolated = true
    batch.delay = delayAfter(this.#parts.settings.backOff, batch.failed, batch.delay)
    batch.notBefore = monotonicNow() + batch.delay
    this.#isolated.push(batch)
  }

  /** Puts back the items that are in no list: handling a failure has failed itself. */
  #requeue(batch: Batch): void {
    const queued = new Set([...this.#first, ...this.#isolated].flatMap(({ items }) => items))
    const items = batch.items.filter((item) => !queued.has(item))
    if (items.length > 0) this.#first.unshift({ ...partOf(batch, items), isIsolated: false })
  }

  #reportFault(batch: Batch, error: unknown): void {
    const items = batch.items.length
    const why = formatError(error)
    this.#parts.events.emit('delivery-failed', `delivery failed, ${formatItems(items)} kept: ${why}`, {
      items,
      error: why,
    })
  }

  /** Delays every retry. Returns the delay in milliseconds. */
  #backOff(): number {
    this.#failuresInARow++
    this.#lastDelay = delayAfter(this.#parts.settings.backOff, this.#failuresInARow, this.#lastDelay)
    this.#notBefore = monotonicNow() + this.#lastDelay
    return this.#lastDelay
  }
}
