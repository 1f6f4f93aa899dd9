import { AsyncLocalStorage } from 'node:async_hooks'
import type { OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { ProcessGlobal } from '../system/process-global.ts'
import { type Deadline, NO_DEADLINE } from './clock.ts'
import { type Milliseconds, ms } from './duration.ts'
import { type TimerWheel, waitWheel } from './timer-wheel.ts'
import { ROOT, type WaitContext, WaitNode, type WaitsHolder } from './wait-node.ts'
import { type WaitRecord, Waits } from './waits.ts'

/**
 * One unit of work, such as a request. AsyncLocalStorage carries it through everything that the
 * work starts. Its waits end by its deadline, less the reserve, and are recorded in its list of
 * waits.
 */
export class WaitScope extends WaitNode implements WaitsHolder {
  declare protected kept: Waits | null
  /** It has ended in the normal way. What its code starts now outlives it. */
  declare ended: boolean
  /**
   * When its code was first told that there is no more time, or that it is given up, in
   * milliseconds of the wheel's clock; 0 before. What it starts afterwards cleans up.
   */
  declare cleansUpSince: number

  /**
   * Call `watchDeadline` to give the work up at its deadline.
   *
   * @param startedAt milliseconds of the wheel's clock; undefined if the subclass sets all fields
   *   itself
   * @param deadline the instant by which all of it must have ended
   * @param reserve milliseconds before the deadline that waits inside do not use; default 0
   * @param parent the work that it is part of; default none
   * @param wheel default: that of the parent, else that of the process
   */
  constructor(
    startedAt?: number,
    deadline: Deadline = NO_DEADLINE,
    reserve = 0,
    parent: WaitNode | null = null,
    wheel?: TimerWheel,
  ) {
    super(startedAt === undefined ? undefined : parent, startedAt, deadline, reserve, null, wheel)
    if (startedAt === undefined) return
    this.home = this
    this.kept = null
    this.ended = false
    this.cleansUpSince = 0
  }

  override get over(): boolean {
    return this.ended || this.reason !== undefined
  }

  override deadlineFor(startedAt: number): number {
    if (this.parent === null) return this.deadline - this.reserve
    return this.ended ? NO_DEADLINE : this.parent.deadlineFor(startedAt) - this.reserve
  }

  override available(now: number): number {
    return this.parent === null ? this.deadline - this.reserve - now : this.deadlineFor(now) - now
  }

  override giveUp(reason: unknown): void {
    if (this.reason === undefined) this.cleansUpSince = this.wheel.now()
    super.giveUp(reason)
  }

  onTimeUp(): void {
    if (this.cleansUpSince === 0) this.cleansUpSince = this.wheel.now()
  }

  /** It has ended in the normal way. What still runs inside is left to its own timeouts. */
  end(): void {
    this.ended = true
    this.deadline = NO_DEADLINE
  }

  /** The waits so far. */
  get waits(): Waits {
    this.kept ??= new Waits()
    return this.kept
  }

  /** Whether there was a wait; does not create the list. */
  get hasWaited(): boolean {
    return this.kept !== null
  }

  /** The pending waits, the oldest first. */
  open(): readonly WaitRecord[] {
    return this.kept === null ? [] : this.kept.open()
  }

  /** Gives everything up at the deadline. Does not keep the process alive. */
  watchDeadline(): void {
    this.wheel.set(this, this.deadline, false)
  }

  enter<T>(job: () => T): T {
    return waitScopes.run(this, job)
  }
}

/**
 * Carries the scope through awaits, timers, ticks and events. All copies of Punctual in a process
 * share it, so that a request is one scope to all of them.
 */
export const waitScopes: AsyncLocalStorage<WaitScope> = new ProcessGlobal<AsyncLocalStorage<WaitScope>>(
  'waitScopes',
).getOrCreate(() => new AsyncLocalStorage())

/** The scope of the code that is running, such as its request; undefined outside of any. */
export function currentWaits(): WaitScope | undefined {
  return waitScopes.getStore()
}

/**
 * The wait or policy whose function is running synchronously, so that a wait inside belongs to it.
 * AsyncLocalStorage would also know it after an `await`, but would double the cost of a wait.
 */
let callee: WaitNode | null = null
/** The scope in which it was called. */
let calleeScope: WaitScope | undefined

/** Calls `work`; what it starts before its first `await` belongs to `node`. */
export function callWithin<T>(node: WaitNode, work: (wait: WaitContext) => T): T {
  const outer = callee
  const outerScope = calleeScope
  callee = node
  calleeScope = waitScopes.getStore()
  try {
    return work(node)
  } finally {
    callee = outer
    calleeScope = outerScope
  }
}

/** The parent of a wait that starts now. */
export function currentParent(): WaitNode {
  const scope = waitScopes.getStore()
  // An interrupt runs no `finally`: a callee that is left over has ended, or belongs to another
  // scope.
  if (callee !== null && !callee.over && calleeScope === scope) return callee
  if (scope === undefined) return ROOT
  return scope.ended || scope.cleansUpSince !== 0 ? afterScope(scope) : ownScope(scope)
}

/**
 * The parent of a wait with a fallback: when there is no more time it takes the fallback, instead
 * of being work that cleans up.
 */
export function parentWithFallback(): WaitNode {
  const scope = waitScopes.getStore()
  return scope === undefined || scope.over || calleeScope === scope ? currentParent() : ownScope(scope)
}

/** The scope that a wait which starts now is part of, also inside the function of a wait. */
export function currentScope(): WaitNode {
  const scope = waitScopes.getStore()
  if (scope === undefined) return ROOT
  return scope.ended || scope.cleansUpSince !== 0 ? afterScope(scope) : ownScope(scope)
}

function ownScope(scope: WaitScope): WaitScope {
  return scope instanceof WaitScope ? scope : adopt(scope)
}

/**
 * How long code of a scope whose time is over may still start work to clean up, and how long each
 * such piece of work may take: what `finally` and `catch` do, such as resetting a session.
 */
export const CLEAN_UP_TIMEOUT: Milliseconds = ms(5_000)

/** The parent of waits that clean up: each has its own short timeout. */
class CleanUp extends WaitNode {
  override deadlineFor(startedAt: number): number {
    return startedAt + CLEAN_UP_TIMEOUT
  }

  override available(): number {
    return CLEAN_UP_TIMEOUT
  }
}

const CLEAN_UP = new CleanUp(null)

/**
 * The parent of a wait that code of a scope starts when the scope is over, or its time is. Shortly
 * after that has been noticed, it is `CLEAN_UP`. Later the code outlives its scope, as a poller
 * that a request has started does: the wait is part of the scope around it, if that is still open,
 * or of nothing.
 */
function afterScope(scope: WaitScope): WaitNode {
  const { wheel } = scope
  const now = wheel.now()
  // `allow` may have given it more time.
  if (!scope.over && scope.available(now) >= 1) return ownScope(scope)
  const wasGivenUp = scope.reason !== undefined || !scope.ended
  if (wasGivenUp && now - scope.cleansUpSince < CLEAN_UP_TIMEOUT) {
    return wheel === waitWheel || !(scope instanceof WaitScope)
      ? CLEAN_UP
      : new CleanUp(null, 0, NO_DEADLINE, 0, null, wheel)
  }
  if (!scope.over) return ownScope(scope)
  for (let node = scope.parent; node !== null; node = node.parent) {
    if (!('cleansUpSince' in node)) continue
    const around = node as WaitScope
    return around.ended || around.cleansUpSince !== 0 ? afterScope(around) : ownScope(around)
  }
  return ROOT
}

const adopted = new WeakMap<WaitScope, WaitScope>()

/**
 * Represents a scope that another copy of Punctual created, because classes of two copies cannot
 * link to each other. The list of waits and the context are those of the original.
 */
function adopt(foreign: WaitScope): WaitScope {
  let own = adopted.get(foreign)
  if (own === undefined) {
    own = new AdoptedScope(foreign)
    adopted.set(foreign, own)
    const { signal } = foreign
    const follow = (): void => own?.giveUp(signal.reason)
    if (signal.aborted) follow()
    else signal.addEventListener('abort', follow, { once: true })
  }
  return own
}

/** Its deadline is that of the original at any time: `allow` may move it. */
class AdoptedScope extends WaitScope {
  readonly #foreign: WaitScope

  constructor(foreign: WaitScope) {
    super(foreign.startedAt, foreign.deadline, foreign.reserve)
    this.home = foreign
    this.#foreign = foreign
  }

  override deadlineFor(): number {
    return this.#foreign.deadline - this.#foreign.reserve
  }

  override available(now: number): number {
    return this.deadlineFor() - now
  }
}

/** The option of everything that waits. */
export interface ParentOption {
  /**
   * What the wait is part of: the object that a function received from its own wait or policy, for
   * use after an `await`. Default: the wait or policy whose function is running, else the current
   * scope. `null`: nothing, not even the request.
   */
  readonly parent?: WaitContext | null
}

/** The option of calls that have no other. */
export const PARENT_OPTION: OptionNames<ParentOption> = { parent: true }

/** @throws InvalidOptionError for an object that is not from a wait of Punctual */
export function parentOf(options: ParentOption | undefined): WaitNode {
  const parent = options?.parent
  if (parent === undefined) return currentParent()
  if (parent === null) return ROOT
  if (typeof (parent as WaitNode).giveUp === 'function') return parent as WaitNode
  throw new InvalidOptionError(
    'a wait',
    'parent',
    parent,
    'must be what the function of a wait was given, not a copy of it or a signal',
  )
}
