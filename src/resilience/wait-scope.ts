import { AsyncLocalStorage } from 'node:async_hooks'
import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { ProcessGlobal } from '../system/process-global.ts'
import { type Deadline, NO_DEADLINE } from './clock.ts'
import type { TimerWheel } from './timer-wheel.ts'
import { ROOT, type WaitContext, WaitNode, type WaitsHolder } from './wait-node.ts'
import { type WaitRecord, Waits } from './waits.ts'

/**
 * One unit of work, such as a request: what AsyncLocalStorage carries through everything it starts.
 * Its waits end by its deadline, less the reserve, and are written down in its list of waits.
 */
export class WaitScope extends WaitNode implements WaitsHolder {
  declare protected kept: Waits | null

  /**
   * Does not watch its own deadline: `watchDeadline` does.
   *
   * @param startedAt milliseconds of the wheel's clock; undefined: the class that calls this sets
   *   all of the fields itself
   * @param deadline the instant by which all of it must have ended
   * @param reserve milliseconds before the deadline that its waits leave; default 0
   * @param parent the work it is part of; default none
   * @param wheel default: the parent's, else that of this process
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
  }

  /** The waits so far. */
  get waits(): Waits {
    this.kept ??= new Waits()
    return this.kept
  }

  /** Whether anything was awaited yet, without making a list of waits. */
  get hasWaited(): boolean {
    return this.kept !== null
  }

  /** What is awaited now, the longest first. */
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
 * Carries the scope through awaits, timers, ticks and events. A request is one scope to all copies
 * of Punctual in its process.
 */
export const waitScopes: AsyncLocalStorage<WaitScope> = new ProcessGlobal<AsyncLocalStorage<WaitScope>>(
  'waitScopes',
).getOrCreate(() => new AsyncLocalStorage())

/** The scope of the work that is running, e.g. of the request; undefined outside of any. */
export function currentWaits(): WaitScope | undefined {
  return waitScopes.getStore()
}

/**
 * What is being called into, while its function runs synchronously: so that a policy inside a wait,
 * or a wait inside a policy, belongs to it without being told. AsyncLocalStorage would know it
 * after an `await` too, for as much as everything else in a wait costs.
 */
let callee: WaitNode | null = null
/** The scope in which that was called. */
let calleeScope: WaitScope | undefined

/** Calls `work` such that what it begins before its first `await` belongs to `node`. */
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

/** What a wait that begins now belongs to. */
export function currentParent(): WaitNode {
  const scope = waitScopes.getStore()
  // A cut runs no `finally`: a callee that was left behind is over, or was called in another scope.
  if (callee !== null && !callee.over && calleeScope === scope) return callee
  if (scope === undefined) return ROOT
  return scope instanceof WaitScope ? scope : adopt(scope)
}

const adopted = new WeakMap<WaitScope, WaitScope>()

/**
 * Stands in for a scope that another copy of Punctual has made: classes of two copies cannot link
 * to each other. Ledger and context are the original's.
 */
function adopt(foreign: WaitScope): WaitScope {
  let own = adopted.get(foreign)
  if (own === undefined) {
    own = new WaitScope(foreign.startedAt, foreign.deadline, foreign.reserve)
    own.home = foreign
    adopted.set(foreign, own)
    const { signal } = foreign
    const follow = (): void => own?.giveUp(signal.reason)
    if (signal.aborted) follow()
    else signal.addEventListener('abort', follow, { once: true })
  } else {
    // `allow` may have moved it.
    own.deadline = foreign.deadline
  }
  return own
}

/** Options of everything that waits. */
export interface ParentOption {
  /**
   * What this is part of, for work that has awaited something before: the object that its own
   * function was given. Default: the wait or policy whose function is being called, else the
   * current scope. `null`: nothing, not even the request.
   */
  readonly parent?: WaitContext | null
}

/** @throws InvalidOptionError for a parent that is not of Punctual's making */
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
