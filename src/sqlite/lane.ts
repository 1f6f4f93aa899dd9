import { monotonicNow } from '../resilience/clock.ts'
import { type Outcome, Seat, type SeatOwner } from './seat.ts'
import { ABANDONED_THREADS, FILE_LOCK, type Obstacle } from './sqlite-errors.ts'

/** Somebody who waits for a seat, in order of arrival. */
export interface Turn {
  readonly startedAt: number
  /** What the others wait for while it has its seat; null for what is over soon. */
  readonly occupation: Obstacle | null
  /** It has the seat until it calls `release`, once, and says whether a transaction is still open there. */
  serve(seat: Seat, release: (inTransaction: boolean) => void): void
  /** It gets none. */
  reject(error: unknown): void
  /** It need not go on, whether it has a seat or waits for one. */
  giveUp(reason: unknown): void
}

/** What a lane needs to know of its database. */
export interface LaneOwner extends Omit<SeatOwner, 'opened' | 'notOpened' | 'wanted' | 'crashed'> {
  /** Whether its seats may be opened yet; if not, the owner sees to it that they are, or refuses who waits. */
  ready(): boolean
  opened(journalMode: string): void
  /** Whether its seats are to be opened for others than who waits for them. */
  neededElsewhere(): boolean
  crashed(why: string): void
  /** The error for those who wait. */
  refusal(outcome: Outcome): unknown
}

/** Seats of one kind, and the queue for them. */
export class Lane {
  readonly #owner: LaneOwner
  readonly #seats: readonly Seat[]
  /** The one used last first: its caches are warm. */
  readonly #free: Seat[] = []
  readonly #held = new Map<Seat, Turn>()
  readonly #queue = new Set<Turn>()
  #eager = false
  #whenIdle: (() => void) | null = null

  constructor(owner: LaneOwner, seats: number) {
    this.#owner = owner
    const seatOwner: SeatOwner = {
      thread: owner.thread,
      threadName: owner.threadName,
      cancelTimeout: owner.cancelTimeout,
      openTimeout: owner.openTimeout,
      mayStart: () => owner.mayStart(),
      opened: (seat, journalMode) => {
        this.#free.push(seat)
        owner.opened(journalMode)
        this.#next()
      },
      notOpened: (_, outcome) => this.#notOpened(outcome),
      wanted: () => this.#queue.size > 0 || owner.neededElsewhere(),
      abandoned: (reason, exited) => owner.abandoned(reason, exited),
      crashed: (seat, why) => {
        const place = this.#free.indexOf(seat)
        if (place !== -1) this.#free.splice(place, 1)
        owner.crashed(why)
      },
      retried: () => owner.retried(),
    }
    this.#seats = Array.from({ length: seats }, () => new Seat(seatOwner))
  }

  get seats(): number {
    return this.#seats.length
  }

  /** Seats with a thread that is ready. */
  get open(): number {
    return this.#seats.filter((seat) => seat.isOpen).length
  }

  get busy(): number {
    return this.#held.size
  }

  get queued(): number {
    return this.#queue.size
  }

  /** Milliseconds that the first in the queue has waited; 0 without one. */
  get longestWait(): number {
    for (const { startedAt } of this.#queue) return monotonicNow() - startedAt
    return 0
  }

  /** What keeps queued calls waiting; null if that is nothing in particular. */
  get obstacle(): Obstacle | null {
    if (this.#seats.some((seat) => seat.isLocked)) return FILE_LOCK
    for (const { occupation } of this.#held.values()) if (occupation !== null) return occupation
    return this.#owner.mayStart() ? null : ABANDONED_THREADS
  }

  /** Opens its seats before anybody waits. */
  warm(): void {
    this.#eager = true
    this.wake()
  }

  enqueue(turn: Turn): void {
    this.#queue.add(turn)
    this.#next()
  }

  withdraw(turn: Turn): void {
    this.#queue.delete(turn)
    this.#tellIdle()
  }

  /** Something has changed that may let it go on. */
  wake(): void {
    if (!this.#eager && this.#queue.size === 0) return
    if (!this.#owner.ready()) return
    // A transaction must not be given a new connection in place of the one it was begun on.
    for (const seat of this.#seats) if (!seat.isOpen && !this.#held.has(seat)) seat.open()
  }

  refuseAll(error: unknown): void {
    for (const turn of [...this.#queue]) {
      this.#queue.delete(turn)
      turn.reject(error)
    }
    this.#tellIdle()
  }

  /** Whoever waits or has a seat. */
  giveUpAll(reason: unknown): void {
    for (const turn of [...this.#queue, ...this.#held.values()]) turn.giveUp(reason)
  }

  /** Called once, as soon as nobody waits and nobody has a seat. */
  whenIdle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle = resolve
      this.#tellIdle()
    })
  }

  /** Ends its threads. */
  close(): readonly Promise<void>[] {
    this.#eager = false
    this.#free.length = 0
    return this.#seats.flatMap((seat) => seat.close() ?? [])
  }

  #next(): void {
    for (const turn of this.#queue) {
      const seat = this.#free.pop()
      if (seat === undefined) break
      this.#queue.delete(turn)
      this.#held.set(seat, turn)
      turn.serve(seat, (inTransaction) => this.#release(seat, inTransaction))
    }
    if (this.#queue.size > 0) this.wake()
  }

  #release(seat: Seat, inTransaction: boolean): void {
    this.#held.delete(seat)
    // It should not be; whoever comes next must not become part of it.
    if (inTransaction) seat.abandon('in-transaction')
    if (seat.isOpen) this.#free.push(seat)
    else this.wake()
    this.#next()
    this.#tellIdle()
  }

  /** Who waits has nothing to wait for, unless another seat is there. */
  #notOpened(outcome: Outcome): void {
    this.#eager = false
    // The file was locked and nobody waited; somebody may by now.
    if (outcome.kind === 'cancelled') this.wake()
    else if (this.open === 0 && this.#held.size === 0) this.refuseAll(this.#owner.refusal(outcome))
  }

  #tellIdle(): void {
    if (this.#queue.size > 0 || this.#held.size > 0) return
    this.#whenIdle?.()
    this.#whenIdle = null
  }
}
