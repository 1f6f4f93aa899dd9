import { type AbortReason, DeadlineExceededError } from './abort-reason.ts'
import { type Deadline, NO_DEADLINE, remainingUntil } from './clock.ts'
import { type Milliseconds, ms } from './duration.ts'
import { type TimerWheel, type WheelEntry, waitWheel } from './timer-wheel.ts'
import type { Waits } from './waits.ts'

/**
 * What work that is awaited is told about its wait. Properties may be taken apart: `({ signal }) =>
 * fetch(url, { signal })`.
 */
export interface WaitContext {
  /**
   * Aborted when nobody awaits the result any more, with the reason. Costs nothing unless it is
   * looked at.
   */
  readonly signal: AbortSignal
  /** The instant it runs out, in milliseconds of the monotonic clock. */
  readonly deadline: Deadline
  /** Milliseconds left, never below 0; unbounded without a deadline. */
  readonly remaining: Milliseconds
}

/** What the waits of one unit of work are written down by. */
export interface WaitsHolder {
  readonly waits: Waits
  /** Runs `job` in the asynchronous context of this unit of work. */
  enter<T>(job: () => T): T
}

/**
 * Something that is awaited or worked on, within which other things are: a request, a wait, a call
 * through a breaker. Each ends by the deadline of the one around it, and is given up with it.
 * Making one allocates nothing beside it; signal and list of waits come when asked for.
 *
 * Its fields are only declared, and set in constructors: those of a class that is made for every
 * request are set in its own. V8 remembers by place in the code which objects come by there, and at
 * a place that many classes share it gives up remembering, which takes half a microsecond for the
 * fields of one request.
 */
export class WaitNode implements WheelEntry, WaitContext {
  declare wheelNext: WheelEntry | null
  declare wheelPrevious: WheelEntry | null
  declare wheelTick: number
  declare wheelHolds: boolean
  declare wheel: TimerWheel
  /** Milliseconds of the wheel's clock. */
  declare startedAt: number
  /** What has begun inside keeps the one it began with. */
  declare deadline: Deadline
  /**
   * What waits inside must leave of the time, in milliseconds, so that something can be made of
   * their failure.
   */
  declare reserve: number
  declare parent: WaitNode | null
  /** Where waits inside are written down; null outside of any scope. */
  declare home: WaitsHolder | null
  /** Why it was given up; undefined while it was not. */
  declare reason: unknown
  declare protected controller: AbortController | null
  /** What is open inside, a linked list. */
  declare protected firstOpen: WaitNode | null
  declare protected nextOpen: WaitNode | null
  declare protected previousOpen: WaitNode | null
  /** Over, but for what is open inside. */
  declare protected leaving: boolean
  /** Work begun inside that goes on although it was given up. */
  declare protected abandonedInside: number

  /** @param parent undefined: the class that calls this sets all of the fields itself */
  constructor(
    parent?: WaitNode | null,
    startedAt = 0,
    deadline: Deadline = NO_DEADLINE,
    reserve: number = 0,
    home: WaitsHolder | null = parent?.home ?? null,
    wheel: TimerWheel = parent?.wheel ?? waitWheel,
  ) {
    if (parent === undefined) return
    this.wheelNext = null
    this.wheelPrevious = null
    this.wheelTick = 0
    this.wheelHolds = false
    this.wheel = wheel
    this.startedAt = startedAt
    this.deadline = deadline
    this.reserve = reserve
    this.parent = parent
    this.home = home
    this.reason = undefined
    this.controller = null
    this.firstOpen = null
    this.nextOpen = null
    this.previousOpen = null
    this.leaving = false
    this.abandonedInside = 0
  }

  get signal(): AbortSignal {
    if (this.controller === null) {
      this.controller = new AbortController()
      if (this.reason !== undefined) this.controller.abort(this.reason)
    }
    return this.controller.signal
  }

  get remaining(): Milliseconds {
    return remainingUntil(this.deadline, this.wheel.now())
  }

  /**
   * Milliseconds that a wait beginning at `now` may take at most: what is left, less the reserve.
   * May be negative.
   */
  available(now: number): number {
    return this.deadline - this.reserve - now
  }

  /** Over: what begins now does not belong inside any more. */
  get over(): boolean {
    return this.reason !== undefined
  }

  /**
   * Gives it up, with everything open inside. The first reason stays.
   *
   * Public for `AbortReason`s; a signal that was passed in may bring any.
   */
  abort(reason: AbortReason): void {
    this.giveUp(reason)
  }

  /** What `abort` does, for any reason. */
  giveUp(reason: unknown): void {
    if (this.reason !== undefined) return
    this.reason = reason
    this.wheel.cancel(this)
    this.controller?.abort(reason)
    this.giveUpInside(reason)
  }

  /** Gives up what is open inside, and not itself. */
  giveUpInside(reason: unknown): void {
    for (let child = this.firstOpen; child !== null; child = this.firstOpen) {
      child.#unlink(this)
      child.giveUp(reason)
    }
  }

  /** The deadline has passed. */
  expire(): void {
    this.abort(new DeadlineExceededError(ms(this.wheel.now() - this.startedAt)))
  }

  /** From now on it is given up with its parent. */
  join(): void {
    const { parent } = this
    if (parent === null) return
    const first = parent.firstOpen
    this.nextOpen = first
    if (first !== null) first.previousOpen = this
    parent.firstOpen = this
  }

  /**
   * It is over. While something inside is still open it stays linked, so that what is around can
   * give that up.
   */
  leave(): void {
    const { parent } = this
    if (parent === null) return
    if (this.firstOpen !== null) {
      this.leaving = true
      return
    }
    this.#unlink(parent)
    if (parent.leaving && parent.firstOpen === null) parent.leave()
  }

  #unlink(parent: WaitNode): void {
    const previous = this.previousOpen
    // Out of the list already: it has no neighbour before it and is not the first.
    if (previous === null && parent.firstOpen !== this) return
    const next = this.nextOpen
    if (previous === null) parent.firstOpen = next
    else previous.nextOpen = next
    if (next !== null) next.previousOpen = previous
    this.nextOpen = null
    this.previousOpen = null
  }

  /** Work begun inside goes on although it was given up; what is around it is told. */
  beginAbandoned(): void {
    for (let around = this.parent; around !== null; around = around.parent) around.abandonedInside++
  }

  endAbandoned(): void {
    for (let around = this.parent; around !== null; around = around.parent) {
      if (--around.abandonedInside === 0) around.onAbandonedEnded()
    }
  }

  /** Whether work begun inside goes on although it was given up. */
  get hasAbandoned(): boolean {
    return this.abandonedInside > 0
  }

  /** Called when the last of it has ended. */
  onAbandonedEnded(): void {}
}

/**
 * What is around a wait that belongs to no scope: no deadline, no list of waits, never given up.
 */
export const ROOT: WaitNode = new WaitNode(null)

/** Writes down that something was not begun at all. */
export function recordRefusal(parent: WaitNode, name: string): void {
  if (parent.home === null) return
  const now = parent.wheel.now()
  const record = { name, startedAt: now, timeout: ms(0), outcome: 'refused', endedAt: now } as const
  parent.home.waits.begin(record)
  parent.home.waits.end(record)
}
