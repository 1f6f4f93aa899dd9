import { delayAfter } from '../resilience/back-off.ts'
import { after, monotonicNow, wallClock } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { WheelEntry, waitWheel } from '../resilience/timer-wheel.ts'
import type { Backlog } from './backlog.ts'
import { type Batch, newBatch, partOf, remedyFor } from './batch.ts'
import type { QueueSettings } from './defer-options.ts'
import type { HandlerSlots } from './handler-slots.ts'
import type { LoopGate } from './loop-gate.ts'
import { idsOf, isPermanent } from './permanent-error.ts'

/** What the delivery of a queue needs of its queue. */
export interface DeliveryOwner {
  readonly settings: QueueSettings
  readonly backlog: Backlog
  readonly gate: LoopGate
  readonly slots: HandlerSlots
  /** Calls the handler; resolves to what failed. */
  call(batch: Batch, attempt: number): Promise<{ readonly error: unknown } | null>
  /** The handler has succeeded. */
  delivered(batch: Batch): void
  /** The handler has failed. `again` is in how many milliseconds the next call may be. */
  failed(batch: Batch, error: unknown, again: number): void
  /** Puts them with the dead letters; false if that could not be done. */
  bury(batch: Batch, error: unknown): Promise<boolean>
  /** Delivery itself has failed, through a fault that is neither the handler's nor the disk's. The batch is kept, unless it was handled. */
  faulted(batch: Batch, error: unknown): void
}

interface Running {
  readonly batch: Batch
  readonly since: number
}

/** Runs in no request's context, whoever set it: the wheel sees to that. */
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
 * Gives the items of a queue to its handler, in batches and in order, below everything else the process does.
 *
 * A batch that fails stays first in line and is tried again after a back-off. From its second failure on it is halved, down to the item that makes it fail; that one
 * is tried again by itself, in turn with the others, until it has failed often enough: it gets no more than half of the time, so that one that hangs until its limit
 * does not starve them. While nothing succeeds there is one call for each back-off, so that an outage costs a dead letter now and then and no more.
 */
export class Delivery {
  readonly #owner: DeliveryOwner
  readonly #alarm = new Alarm(() => this.#pump())
  /** When the alarm rings; infinite if it is not set, minus infinite while somebody delivers and will look again anyway. */
  #armedFor = Number.POSITIVE_INFINITY
  /** Batches to be tried before anything new, in order. */
  readonly #first: Batch[] = []
  /** Single items that have failed alone, each with a time of its own. */
  readonly #aside: Batch[] = []
  readonly #running = new Set<Running>()
  #runners = 0
  #started = false
  #stopped = false
  #failuresInARow = 0
  #lastDelay = 0
  /** Nothing is tried before, in milliseconds of the monotonic clock: the handler has just failed. */
  #notBefore = 0
  #lastBegan = 0
  /** Until then it is the turn of what has not failed alone, if there is any. */
  #othersUntil = 0
  /** Who waits for the queue to be empty. */
  readonly #idle = new Set<(empty: boolean) => void>()

  constructor(owner: DeliveryOwner) {
    this.#owner = owner
  }

  start(): void {
    this.#started = true
    this.wake()
  }

  /** From here on no call begins, and nobody waits for the queue to be empty. What is in work is for the owner to give up. */
  stop(): void {
    this.#stopped = true
    waitWheel.cancel(this.#alarm)
    for (const tell of this.#idle) tell(this.isEmpty)
  }

  /** Something new is in the backlog. On the path of every push. */
  noteNew(now: number): void {
    const { backlog, settings } = this.#owner
    const due = Math.max(this.#notBefore, backlog.ready < settings.batch ? now + settings.linger : now)
    if (due < this.#armedFor) this.#arm(due, now)
  }

  wake(): void {
    const now = monotonicNow()
    if (now < this.#armedFor) this.#arm(now, now)
  }

  /** Delivers what there is without waiting for more; false if some of it is left after `limit`. */
  flush(limit: Milliseconds): Promise<boolean> {
    if (this.isEmpty || this.#stopped) return Promise.resolve(this.isEmpty)
    return new Promise((resolve) => {
      const end = (empty: boolean): void => {
        this.#idle.delete(end)
        cancel()
        resolve(empty)
      }
      const cancel = after(limit, () => end(false))
      this.#idle.add(end)
      this.wake()
    })
  }

  /** Before the start nobody knows what an earlier process has left. */
  get isEmpty(): boolean {
    const { backlog } = this.#owner
    const waiting = backlog.length + this.#first.length + this.#aside.length
    return this.#started && waiting + this.#runners === 0 && !backlog.awaitsMore
  }

  get state(): 'starting' | 'idle' | 'gathering' | 'delivering' | 'backing-off' | 'stopped' {
    if (this.#running.size > 0) return 'delivering'
    if (this.#stopped) return 'stopped'
    if (!this.#started) return 'starting'
    if (this.isEmpty) return 'idle'
    return this.#notBefore > monotonicNow() ? 'backing-off' : 'gathering'
  }

  /** The longest call that runs. */
  get longest(): Running | null {
    for (const running of this.#running) return running
    return null
  }

  /** Everything that is no longer in the backlog. */
  *batches(): Generator<Batch> {
    for (const { batch } of this.#running) yield batch
    yield* this.#first
    yield* this.#aside
  }

  #arm(due: number, now: number): void {
    if (this.#stopped || !this.#started) return
    this.#armedFor = due
    waitWheel.set(this.#alarm, due, false, now)
  }

  #pump(): void {
    this.#armedFor = Number.NEGATIVE_INFINITY
    while (this.#runners < this.#owner.settings.concurrency) {
      const now = monotonicNow()
      const due = this.#due(now)
      if (due > now) {
        this.#armedFor = Number.POSITIVE_INFINITY
        if (due < this.#armedFor) this.#arm(due, now)
        break
      }
      this.#runners++
      const done = (): void => {
        this.#runners--
        this.#pump()
      }
      // It rejects only where reporting a fault fails too, and that must not go unnoticed.
      void this.#deliver().finally(done)
    }
    if (this.#idle.size > 0 && this.isEmpty) for (const tell of this.#idle) tell(true)
  }

  /** When there is something to deliver, in milliseconds of the monotonic clock. */
  #due(now: number): number {
    if (this.#stopped || !this.#started) return Number.POSITIVE_INFINITY
    let due = this.#othersDue(now)
    for (const { notBefore } of this.#aside) due = Math.min(due, notBefore)
    return Math.max(due, this.#notBefore)
  }

  /** The same for what has not failed alone. */
  #othersDue(now: number): number {
    if (this.#first.length > 0) return now
    const { backlog, settings } = this.#owner
    const head = backlog.peek()
    if (head === undefined) return Number.POSITIVE_INFINITY
    const full = backlog.ready >= settings.batch || this.#idle.size > 0
    return full ? now : head.at + settings.linger
  }

  /** One batch. */
  async #deliver(): Promise<void> {
    const { gate, slots } = this.#owner
    if (this.#idle.size === 0) await gate.pass(this.#lastBegan)
    const giveBack = await slots.take()
    const now = monotonicNow()
    const batch = this.#due(now) > now ? null : this.#take(now)
    if (batch === null) {
      giveBack()
      return
    }
    this.#lastBegan = now
    const running = { batch, since: now }
    this.#running.add(running)
    let isHandled = false
    try {
      const failure = await this.#owner.call(batch, batch.failed + 1).finally(() => {
        giveBack()
        this.#running.delete(running)
      })
      const ended = monotonicNow()
      if (batch.aside) this.#othersUntil = ended + (ended - now)
      if (failure === null) {
        isHandled = true
        this.#failuresInARow = 0
        this.#notBefore = 0
        this.#owner.delivered(batch)
      } else if (this.#stopped) {
        this.#first.unshift(batch)
      } else {
        await this.#mend(batch, failure.error)
      }
    } catch (error) {
      if (!isHandled) this.#requeue(batch)
      this.#backOff()
      this.#owner.faulted(batch, error)
    }
  }

  /** Puts back what is in no list: handling a failure was interrupted by another one. */
  #requeue(batch: Batch): void {
    const queued = new Set([...this.#first, ...this.#aside].flatMap(({ items }) => items))
    const items = batch.items.filter((item) => !queued.has(item))
    if (items.length > 0) this.#first.unshift({ ...partOf(batch, items), aside: false })
  }

  #take(now: number): Batch | null {
    if (now >= this.#othersUntil || this.#othersDue(now) > now) {
      const aside = this.#aside.findIndex(({ notBefore }) => notBefore <= now)
      if (aside !== -1) return this.#aside.splice(aside, 1)[0] ?? null
    }
    const first = this.#first.shift()
    if (first !== undefined) return first
    const items = this.#owner.backlog.take(this.#owner.settings.batch)
    return items.length === 0 ? null : newBatch(items)
  }

  async #mend(batch: Batch, error: unknown): Promise<void> {
    const { attempts } = this.#owner.settings
    batch.failed++
    batch.firstFailedAt ??= wallClock().toISOString()
    const permanent = isPermanent(error)
    const named = idsOf(error)
    if (named.size > 0 && batch.items.some(({ id }) => named.has(id))) {
      await this.#spare(batch, named, error)
      return
    }
    const remedy = remedyFor(batch, attempts, permanent)
    // One that is known to fail by itself says nothing of the others.
    const again = permanent || batch.aside ? 0 : this.#backOff()
    this.#owner.failed(batch, error, again)
    if (remedy === 'bury') {
      if (!(await this.#owner.bury(batch, error))) this.#setAside(batch)
    } else if (remedy === 'aside') {
      this.#setAside(batch)
    } else if (remedy === 'halve') {
      const middle = Math.ceil(batch.items.length / 2)
      this.#first.unshift(partOf(batch, batch.items.slice(0, middle)), partOf(batch, batch.items.slice(middle)))
    } else {
      this.#first.unshift(batch)
    }
  }

  /** Buries the items that the handler has named, and tries the others again as if nothing had been. */
  async #spare(batch: Batch, named: ReadonlySet<string>, error: unknown): Promise<void> {
    const guilty = partOf(
      batch,
      batch.items.filter(({ id }) => named.has(id)),
    )
    const others = batch.items.filter(({ id }) => !named.has(id))
    this.#owner.failed(guilty, error, 0)
    if (others.length > 0) this.#first.unshift({ ...partOf(batch, others), failed: batch.failed - 1 })
    if (await this.#owner.bury(guilty, error)) return
    for (const item of guilty.items) this.#setAside(partOf(guilty, [item]))
  }

  #setAside(batch: Batch): void {
    batch.aside = true
    batch.delay = delayAfter(this.#owner.settings.backOff, batch.failed, batch.delay)
    batch.notBefore = monotonicNow() + batch.delay
    this.#aside.push(batch)
  }

  /** Milliseconds until anything is tried again. */
  #backOff(): number {
    this.#failuresInARow++
    this.#lastDelay = delayAfter(this.#owner.settings.backOff, this.#failuresInARow, this.#lastDelay)
    this.#notBefore = monotonicNow() + this.#lastDelay
    return this.#lastDelay
  }
}
