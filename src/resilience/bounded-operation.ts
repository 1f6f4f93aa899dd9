import { isTimeout } from './abort-reason.ts'
import { type Deadline, deadlineAt } from './clock.ts'
import { type Milliseconds, ms } from './duration.ts'
import { WaitNode } from './wait-node.ts'
import type { WaitOutcome, WaitRecord } from './waits.ts'

/**
 * The state of the work. What the caller got is `outcome`, which may be set before or after the
 * work has ended.
 */
export type OperationState =
  /** Constructed; not admitted yet. */
  | 'created'
  /** Admitted: its time runs, and it waits for a connection, a thread or its turn. */
  | 'waiting'
  /** The work is running. */
  | 'working'
  /** Given up (`reason` says why), but the work is still running: it counts as abandoned. */
  | 'abandoned'
  /** The work has ended, or will never start: refused, or given up while it waited. */
  | 'ended'

/**
 * The life cycle of one operation with a timeout. This is the only place that defines it: an
 * operation is admitted or refused, ends, times out or is given up with its parent, is recorded in
 * the list of waits, and counts as abandoned while its work outlives it.
 *
 * Two things end separately: the wait of the caller (`outcome`, set once by `settle`) and the work
 * (`state`, ended by `endWork`). A subclass adds what is done and who gets the result. It calls, in
 * this order:
 *
 * 1. `admit(hasTime)`. If false, it was refused, and the hooks below have been called.
 * 2. `startTimer()`, unless the work has ended already.
 * 3. `beginWork()` when the work starts; `requeueWork()` if it has to wait again, e.g. for the
 *    writer of a database.
 * 4. `settle(outcome)` when the caller gets its result, and `endWork()` when nothing of the work is
 *    left. The order is free, and repeated calls have no effect.
 *
 * It implements:
 *
 * - `name`: its name in the list of waits; `abandonedName` if abandoned work counts under another
 *   name.
 * - `timeoutError()`: called at the timeout, or before the start if it is refused for lack of time.
 * - `onGivenUp(reason)`: called once, after `settle`, when it is refused, times out or is given up.
 *   Stops the work and tells the caller.
 * - `onTimeout(error, outcome)`: only if a timeout need not be an error for the caller, because
 *   there is a fallback.
 *
 * All of this is synchronous and allocates only the object, because `withTimeout` creates one for
 * each call. For the same reason fields are declared and set in the constructor, and members are
 * private in TypeScript only: private names cost 5 % of a wait (`bench -- waits`).
 */
export abstract class BoundedOperation extends WaitNode implements WaitRecord {
  abstract readonly name: string
  declare timeout: Milliseconds
  declare outcome: WaitOutcome | null
  declare endedAt: number | null
  declare private current: OperationState

  /** @param timeout how long it may take in all, in milliseconds; `deadline` is the end of that */
  constructor(parent: WaitNode, startedAt: number, deadline: Deadline, timeout: Milliseconds) {
    super(parent, startedAt, deadline)
    this.timeout = timeout
    this.outcome = null
    this.endedAt = null
    this.current = 'created'
  }

  get state(): OperationState {
    return this.current
  }

  /** The only place that sets the state. It counts abandoned operations. */
  private become(state: OperationState): void {
    const before = this.current
    this.current = state
    if (before === 'abandoned' || state === 'abandoned') this.countAbandoned(before, state)
  }

  private countAbandoned(before: OperationState, state: OperationState): void {
    if (before === state) return
    if (state === 'abandoned') {
      addAbandoned(this.abandonedName)
      this.beginAbandoned()
    } else {
      removeAbandoned(this.abandonedName)
      this.endAbandoned()
    }
  }

  override get over(): boolean {
    return this.outcome !== null || this.reason !== undefined
  }

  /** The name under which abandoned work counts, from a small fixed set. It must not change. */
  protected get abandonedName(): string {
    return this.name
  }

  /** Its own timeout, which the deadline around it may have shortened. */
  protected get ownTimeout(): number {
    return this.timeout
  }

  override deadlineFor(_startedAt: number): number {
    const around = (this.parent as WaitNode).deadlineFor(this.startedAt)
    return Math.min(this.startedAt + this.ownTimeout, around)
  }

  override available(now: number): number {
    return this.deadlineFor(now) - now
  }

  /**
   * Continues if the deadline around it has moved, or its request has ended and left it to its own
   * timeout. Checked only when its timer runs, so that it costs nothing before.
   */
  private isExtended(): boolean {
    const deadline = this.deadlineFor(this.startedAt)
    if (deadline < this.deadline + 1 || deadline <= this.wheel.now()) return false
    this.deadline = deadlineAt(deadline)
    this.timeout = ms(deadline - this.startedAt)
    this.onExtended()
    this.startTimer()
    return true
  }

  /** Its timeout has become longer. */
  protected onExtended(): void {}

  protected abstract timeoutError(): unknown

  protected abstract onGivenUp(reason: unknown): void

  protected onTimeout(error: unknown, outcome: 'timed-out' | 'refused'): void {
    this.settle(outcome)
    this.onGivenUp(error)
  }

  /**
   * Starts it, or refuses it if its parent has ended or there is no time.
   *
   * @param refusal another reason to refuse it
   */
  protected admit(hasTime: boolean, refusal?: { readonly reason: unknown } | undefined): boolean {
    const { reason } = this.parent as WaitNode
    if (reason !== undefined) this.refuse(reason)
    else if (refusal !== undefined) this.refuse(refusal.reason)
    else if (!hasTime) this.refuseForTime()
    else this.enroll()
    return this.current === 'waiting'
  }

  /** Records it and joins its parent. For a subclass that has checked itself that it may start. */
  protected enroll(): void {
    if (this.home !== null) this.home.waits.begin(this)
    this.become('waiting')
    this.join()
  }

  protected startTimer(): void {
    this.wheel.set(this, this.deadline, true, this.startedAt)
  }

  protected beginWork(): void {
    if (this.current === 'waiting') this.become('working')
  }

  protected requeueWork(): void {
    if (this.current === 'working') this.become('waiting')
  }

  protected endWork(): void {
    this.become('ended')
  }

  /** The caller gets its result. The first outcome stays; false if there was one. */
  protected settle(outcome: WaitOutcome): boolean {
    if (this.outcome !== null) return false
    this.outcome = outcome
    this.wheel.cancel(this)
    this.leave()
    if (this.home !== null) {
      this.endedAt = this.wheel.now()
      this.home.waits.end(this)
    }
    return true
  }

  override expire(): void {
    if (this.outcome !== null || this.isExtended()) return
    this.noteTimeUp()
    const error = this.timeoutError()
    this.abandon(error)
    // A listener of its signal may have given it up.
    if (this.outcome === null) this.onTimeout(error, 'timed-out')
  }

  override giveUp(reason: unknown): void {
    if (this.outcome !== null) {
      this.giveUpInside(reason)
      return
    }
    this.abandon(reason)
    if (this.settle(isTimeout(reason) ? 'timed-out' : 'aborted')) this.onGivenUp(reason)
  }

  /** The work has to stop. During a fallback it was given up before. */
  private abandon(reason: unknown): void {
    if (this.reason !== undefined) return
    this.become(this.current === 'working' ? 'abandoned' : 'ended')
    super.giveUp(reason)
  }

  private noteTimeUp(): void {
    if (this.home !== null && this.ownTimeout > this.timeout) this.home.onTimeUp()
  }

  private refuse(reason: unknown): void {
    if (this.home !== null) this.home.waits.begin(this)
    this.reason = reason
    this.become('ended')
    this.settle('refused')
    this.onGivenUp(reason)
  }

  private refuseForTime(): void {
    if (this.home !== null) this.home.waits.begin(this)
    this.noteTimeUp()
    const error = this.timeoutError()
    this.reason = error
    this.become('ended')
    this.onTimeout(error, 'refused')
  }
}

/**
 * Abandoned operations by name: they timed out or were given up, and ignore their signal. Each
 * still uses a connection, a thread or a query, so it is counted until it ends.
 */
const abandoned = new Map<string, number>()
let total = 0

/** How many abandoned operations are still running in this process, by the name of the wait. */
export function abandonedOperations(): ReadonlyMap<string, number> {
  return new Map(abandoned)
}

/** How many abandoned operations are still running. */
export function abandonedCount(): number {
  return total
}

function addAbandoned(name: string): void {
  total++
  abandoned.set(name, (abandoned.get(name) ?? 0) + 1)
}

function removeAbandoned(name: string): void {
  total--
  const left = (abandoned.get(name) ?? 0) - 1
  if (left > 0) abandoned.set(name, left)
  else abandoned.delete(name)
}
