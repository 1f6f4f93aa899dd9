import { type AbortReason, DeadlineExceededError } from './abort-reason.ts'
import { type Deadline, NO_DEADLINE, remainingUntil } from './clock.ts'
import { type Milliseconds, ms } from './duration.ts'
import { type TimerWheel, type WheelEntry, waitWheel } from './timer-wheel.ts'
import type { Waits } from './waits.ts'

/**
 * What the function of a wait receives. It may be destructured: `({ signal }) => fetch(url, {
 * signal })`.
 */
export interface WaitContext {
  /** Aborted with the reason when the wait is given up. It is created on first use. */
  readonly signal: AbortSignal
  /** When the wait times out, in milliseconds of the monotonic clock. */
  readonly deadline: Deadline
  /** Milliseconds left, at least 0; unbounded without a deadline. */
  readonly remaining: Milliseconds
}

/** Where the waits of a unit of work are recorded. */
export interface WaitsHolder {
  readonly waits: Waits
  /** A wait inside has failed because the time of this unit of work is up. */
  onTimeUp(): void
  /** Runs `job` in the asynchronous context of this unit of work. */
  enter<T>(job: () => T): T
}

/**
 * A node in the tree of pending work: a request, a wait, a call through a breaker. Each ends by the
 * deadline of its parent, and is given up with it. It allocates nothing but itself; signal and list
 * of waits are created on first use.
 *
 * Fields are declared here and set in constructors, and a class that is created for each request
 * sets them all in its own. V8 keeps type feedback per place in the code; at a place that many
 * classes share it is lost, which costs 0.5 µs for the fields of one request.
 */
export class WaitNode implements WheelEntry, WaitContext {
  declare wheelNext: WheelEntry | null
  declare wheelPrevious: WheelEntry | null
  declare wheelTick: number
  declare wheelHolds: boolean
  declare wheel: TimerWheel
  /** Milliseconds of the clock of the wheel. */
  declare startedAt: number
  /** Waits inside keep the deadline with which they started. */
  declare deadline: Deadline
  /**
   * Milliseconds before the deadline that waits inside do not use, so that their failure can be
   * handled.
   */
  declare reserve: number
  declare parent: WaitNode | null
  /** Where waits inside are recorded; null outside of any scope. */
  declare home: WaitsHolder | null
  /** Why it was given up; undefined if it was not. */
  declare reason: unknown
  declare protected controller: AbortController | null
  /** The pending nodes inside, as a linked list. */
  declare protected firstOpen: WaitNode | null
  declare protected nextOpen: WaitNode | null
  declare protected previousOpen: WaitNode | null
  /** It has ended, but nodes inside are pending. */
  declare protected leaving: boolean
  /** How many abandoned operations inside still run. */
  declare protected abandonedInside: number

  /** @param parent undefined if the subclass sets all fields itself */
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
   * Milliseconds that a wait may take if it starts at `now`: the time left, less the reserve. May
   * be negative.
   */
  available(now: number): number {
    return this.deadline - this.reserve - now
  }

  /**
   * When something inside must end that started at `startedAt`, as it is known now: a deadline can
   * move, and that of a request ends with the request.
   */
  deadlineFor(_startedAt: number): number {
    return this.deadline - this.reserve
  }

  /** It has ended: what starts now is not part of it. */
  get over(): boolean {
    return this.reason !== undefined
  }

  /**
   * Gives it up, with everything that is pending inside. The first reason stays.
   *
   * This is the public method, for an `AbortReason`; a signal of the app may bring any reason.
   */
  abort(reason: AbortReason): void {
    this.giveUp(reason)
  }

  /** Does what `abort` does, for any reason. */
  giveUp(reason: unknown): void {
    if (this.reason !== undefined) return
    this.reason = reason
    this.wheel.cancel(this)
    this.controller?.abort(reason)
    this.giveUpInside(reason)
  }

  /** Gives up what is pending inside, but not itself. */
  giveUpInside(reason: unknown): void {
    for (let child = this.firstOpen; child !== null; child = this.firstOpen) {
      child.#unlink(this)
      child.giveUp(reason)
    }
  }

  /** Called when the deadline has passed. */
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
   * It has ended. While nodes inside are pending it stays in the tree, so that they can be given
   * up.
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
    // It is out of the list: it has no predecessor and is not the first.
    if (previous === null && parent.firstOpen !== this) return
    const next = this.nextOpen
    if (previous === null) parent.firstOpen = next
    else previous.nextOpen = next
    if (next !== null) next.previousOpen = previous
    this.nextOpen = null
    this.previousOpen = null
  }

  /** An operation inside is abandoned: its work still runs. All nodes around it count it. */
  beginAbandoned(): void {
    for (let around = this.parent; around !== null; around = around.parent) around.abandonedInside++
  }

  endAbandoned(): void {
    for (let around = this.parent; around !== null; around = around.parent) {
      if (--around.abandonedInside === 0) around.onAbandonedEnded()
    }
  }

  /** Whether abandoned operations inside still run. */
  get hasAbandoned(): boolean {
    return this.abandonedInside > 0
  }

  /** Called when the last abandoned operation inside has ended. */
  onAbandonedEnded(): void {}
}

/** The parent of waits that are part of nothing: no deadline, no list of waits, never given up. */
export const ROOT: WaitNode = new WaitNode(null)

/** Records a call that was refused. */
export function recordRefusal(parent: WaitNode, name: string): void {
  if (parent.home === null) return
  const now = parent.wheel.now()
  const record = { name, startedAt: now, timeout: ms(0), outcome: 'refused', endedAt: now } as const
  parent.home.waits.begin(record)
  parent.home.waits.end(record)
}
