import { monotonicNow } from '../resilience/clock.ts'
import { ABANDONED_THREADS, FILE_LOCK, type Obstacle } from './sqlite-errors.ts'
import { type AbandonReason, type JobOutcome, type SlotOptions, ThreadSlot } from './thread-slot.ts'

/** A call or a transaction that waits for a slot, in order of arrival, and then uses it. */
export interface PoolTask {
  readonly startedAt: number
  /** What queued tasks wait for while this one has its slot; null if it ends soon. */
  readonly asObstacle: Obstacle | null
  /** Uses the slot until it calls `release`, once, with whether a transaction is open there. */
  runOn(slot: ThreadSlot, release: (inTransaction: boolean) => void): void
  /** It gets no slot. */
  reject(error: unknown): void
  /** Cancels it, whether it waits or has a slot. */
  giveUp(reason: unknown): void
}

export interface ThreadPoolOptions extends Omit<SlotOptions, 'wanted'> {
  /**
   * Whether the file may be opened yet. If not, the database opens it first, or refuses the queue.
   */
  mayOpen(): boolean
  /** Whether calls other than those in the queue need these slots to be opened. */
  neededElsewhere(): boolean
  /** The error of the queued tasks when no slot can be opened. */
  openError(outcome: JobOutcome): unknown
}

/** What a pool reports to its database. */
export interface ThreadPoolEvents {
  opened(journalMode: string): void
  abandoned(reason: AbandonReason, exited: Promise<void>): void
  crashed(why: string): void
  retried(): void
}

/** Slots of one kind, and the queue of tasks for them. */
export class ThreadPool {
  readonly #options: ThreadPoolOptions
  readonly #slots: readonly ThreadSlot[]
  /** The last one used is taken first, because its caches are warm. */
  readonly #free: ThreadSlot[] = []
  readonly #running = new Map<ThreadSlot, PoolTask>()
  readonly #queue = new Set<PoolTask>()
  /** Opens slots before a task needs them. */
  #opensEarly = false
  #onIdle: (() => void) | null = null

  constructor(size: number, options: ThreadPoolOptions, events: ThreadPoolEvents) {
    this.#options = options
    const slotOptions: SlotOptions = {
      ...options,
      wanted: () => this.#queue.size > 0 || options.neededElsewhere(),
    }
    const slotEvents = {
      ...events,
      opened: (slot: ThreadSlot, journalMode: string) => {
        this.#free.push(slot)
        events.opened(journalMode)
        this.#runNext()
      },
      openFailed: (outcome: JobOutcome) => this.#onOpenFailed(outcome),
      crashed: (slot: ThreadSlot, why: string) => {
        const index = this.#free.indexOf(slot)
        if (index !== -1) this.#free.splice(index, 1)
        events.crashed(why)
      },
    }
    this.#slots = Array.from({ length: size }, () => new ThreadSlot(slotOptions, slotEvents))
  }

  get size(): number {
    return this.#slots.length
  }

  /** Slots whose connection is open. */
  get open(): number {
    return this.#slots.filter((slot) => slot.isOpen).length
  }

  get busy(): number {
    return this.#running.size
  }

  get queued(): number {
    return this.#queue.size
  }

  /** Milliseconds that the first task in the queue has waited; 0 without one. */
  get longestWait(): number {
    const [first] = this.#queue
    return first === undefined ? 0 : monotonicNow() - first.startedAt
  }

  /** What blocks the queue; null if it is only the tasks ahead. */
  get obstacle(): Obstacle | null {
    if (this.#slots.some((slot) => slot.isLocked)) return FILE_LOCK
    for (const { asObstacle } of this.#running.values()) if (asObstacle !== null) return asObstacle
    return this.#options.mayStartThread() ? null : ABANDONED_THREADS
  }

  /** Opens its slots, although no task waits. */
  openEarly(): void {
    this.#opensEarly = true
    this.openSlots()
  }

  enqueue(task: PoolTask): void {
    this.#queue.add(task)
    this.#runNext()
  }

  withdraw(task: PoolTask): void {
    this.#queue.delete(task)
    this.#checkIdle()
  }

  /** Opens closed slots if they are needed and may be opened. */
  openSlots(): void {
    if (!this.#opensEarly && this.#queue.size === 0) return
    if (!this.#options.mayOpen()) return
    // A slot in use is not reopened: a transaction must not continue on another connection.
    for (const slot of this.#slots) if (!slot.isOpen && !this.#running.has(slot)) slot.open()
  }

  refuseQueue(error: unknown): void {
    for (const task of [...this.#queue]) {
      this.#queue.delete(task)
      task.reject(error)
    }
    this.#checkIdle()
  }

  /** Gives up all tasks, queued and running. */
  giveUpAll(reason: unknown): void {
    for (const task of [...this.#queue, ...this.#running.values()]) task.giveUp(reason)
  }

  /** Resolves when no task waits or runs. May be called once. */
  whenIdle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve
      this.#checkIdle()
    })
  }

  /** Closes its slots; resolves when their threads have exited. */
  async close(): Promise<void> {
    this.#opensEarly = false
    this.#free.length = 0
    await Promise.all(this.#slots.map((slot) => slot.close()))
  }

  #runNext(): void {
    for (const task of this.#queue) {
      const slot = this.#free.pop()
      if (slot === undefined) break
      this.#queue.delete(task)
      this.#running.set(slot, task)
      task.runOn(slot, (inTransaction) => this.#release(slot, inTransaction))
    }
    if (this.#queue.size > 0) this.openSlots()
  }

  #release(slot: ThreadSlot, inTransaction: boolean): void {
    this.#running.delete(slot)
    // The next task must not become part of a transaction that was left open.
    if (inTransaction) slot.abandon('in-transaction')
    if (slot.isOpen) this.#free.push(slot)
    else this.openSlots()
    this.#runNext()
    this.#checkIdle()
  }

  #onOpenFailed(outcome: JobOutcome): void {
    this.#opensEarly = false
    // The file was locked and no task waited; by now one may wait.
    if (outcome.kind === 'cancelled') this.openSlots()
    else if (this.open === 0 && this.#running.size === 0) this.refuseQueue(this.#options.openError(outcome))
  }

  #checkIdle(): void {
    if (this.#queue.size > 0 || this.#running.size > 0) return
    this.#onIdle?.()
    this.#onIdle = null
  }
}
