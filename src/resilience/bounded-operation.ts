import { isTimeout } from './abort-reason.ts'
import type { Deadline } from './clock.ts'
import type { Milliseconds } from './duration.ts'
import { WaitNode } from './wait-node.ts'
import type { WaitOutcome, WaitRecord } from './waits.ts'

/**
 * Where the work of an operation stands. What its caller got is `outcome`, which may come before or
 * after the work has ended.
 */
export type OperationState =
  /** Constructed; not admitted yet. */
  | 'created'
  /**
   * Admitted: its time runs, and it waits for what does its work, such as a connection, a thread or
   * its turn.
   */
  | 'waiting'
  /** Its work is under way. */
  | 'working'
  /**
   * It was given up (`reason` says why) and its work goes on: it counts as abandoned until that has
   * ended.
   */
  | 'abandoned'
  /** Its work has ended, or will never begin: it was refused, or given up while it waited. */
  | 'ended'

/**
 * The life of one operation with a timeout, and the only place that knows how such a life goes: it
 * is begun or refused, ends by itself, times out or is given up with what is around it, is recorded
 * in the waits of its request, and counts as abandoned while its work outlives it.
 *
 * Two things end separately: what the caller waits for (`outcome`, once, by `settle`) and the work
 * (`state`, by `endWork`). A subclass adds what is done and who is told. It calls, in this order:
 *
 * 1. `admit(hasTime)`. False: it was refused, and the hooks below have been called.
 * 2. `startTimer()`, unless the work ended in the meantime.
 * 3. `beginWork()` when the work begins. `deferWork()` puts it back into line, e.g. from a reader
 *    to the writer of a database.
 * 4. `settle(outcome)` when the caller is told, and `endWork()` when nothing of the work is left;
 *    in any order, both may be repeated.
 *
 * and implements
 *
 * - `name`: what it is called among the waits of its request; `abandonedName`, where its abandoned
 *   work is counted under another name.
 * - `timeoutError()`: made when its time is over; for an operation that is refused for lack of
 *   time, before it has begun.
 * - `onGivenUp(reason)`: called once, after `settle`, when it was refused, timed out or was given
 *   up. Stops the work and tells the caller.
 * - `onTimeout(error, outcome)`: only where a timeout need not be an error to the caller, since
 *   there is a fallback.
 *
 * Everything is synchronous, and nothing is allocated but the object itself: `withTimeout` makes
 * one for each call. That is also why its fields are declared and set in the constructor, and its
 * members are private to TypeScript only: private names cost 5 % of a wait (`bench -- waits`).
 */
export abstract class BoundedOperation extends WaitNode implements WaitRecord {
  abstract readonly name: string
  declare readonly timeout: Milliseconds
  declare outcome: WaitOutcome | null
  declare endedAt: number | null
  declare private current: OperationState

  /**
   * @param limit how long it may take in all, in milliseconds; `deadline` is the instant at which
   *   that is over
   */
  constructor(parent: WaitNode, startedAt: number, deadline: Deadline, limit: Milliseconds) {
    super(parent, startedAt, deadline)
    this.timeout = limit
    this.outcome = null
    this.endedAt = null
    this.current = 'created'
  }

  get state(): OperationState {
    return this.current
  }

  /**
   * The only place that sets it. It counts what is abandoned, so that neither ending nor giving up
   * can forget to.
   */
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

  /**
   * What its work counts as while it is abandoned; from a small fixed set. Must not change
   * meanwhile.
   */
  protected get abandonedName(): string {
    return this.name
  }

  protected abstract timeoutError(): unknown

  protected abstract onGivenUp(reason: unknown): void

  protected onTimeout(error: unknown, outcome: 'timed-out' | 'refused'): void {
    this.settle(outcome)
    this.onGivenUp(error)
  }

  /**
   * Begins it, or refuses it when what is around it is over already, or there is no time.
   *
   * @param refusal another reason why it must not begin
   */
  protected admit(hasTime: boolean, refusal?: { readonly reason: unknown } | undefined): boolean {
    const { reason } = this.parent as WaitNode
    if (reason !== undefined) this.refuse(reason)
    else if (refusal !== undefined) this.refuse(refusal.reason)
    else if (!hasTime) this.refuseForTime()
    else this.enroll()
    return this.current === 'waiting'
  }

  /**
   * Records it and joins what is around it, so that it is given up with that. For a subclass that
   * has seen itself that it may begin.
   */
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

  /** The caller's part is over. The first outcome stays; false if there was one. */
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
    if (this.outcome !== null) return
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

  /** Its work is to stop. One that is in the middle of its fallback has been given up before. */
  private abandon(reason: unknown): void {
    if (this.reason !== undefined) return
    this.become(this.current === 'working' ? 'abandoned' : 'ended')
    super.giveUp(reason)
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
    const error = this.timeoutError()
    this.reason = error
    this.become('ended')
    this.onTimeout(error, 'refused')
  }
}

/**
 * Work that goes on although nobody awaits it any more: its wait expired or was given up, and it
 * did not heed its signal. It still occupies a connection, a thread or a query somewhere, so it is
 * counted, by the name of its wait, until it ends.
 */
const zombies = new Map<string, number>()
let total = 0

/**
 * How much abandoned work goes on in this process, by name of the wait; names without any are
 * absent.
 */
export function abandonedOperations(): ReadonlyMap<string, number> {
  return new Map(zombies)
}

/** How much of it there is in all. */
export function abandonedCount(): number {
  return total
}

function addAbandoned(name: string): void {
  total++
  zombies.set(name, (zombies.get(name) ?? 0) + 1)
}

function removeAbandoned(name: string): void {
  total--
  const left = (zombies.get(name) ?? 0) - 1
  if (left > 0) zombies.set(name, left)
  else zombies.delete(name)
}
