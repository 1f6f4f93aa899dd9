import { monotonicNow } from '../../resilience/clock.ts'
import type { WaitNode } from '../../resilience/wait-node.ts'
import { currentParent } from '../../resilience/wait-scope.ts'

/**
 * Something a request has started, without the toolkit, and has not heard back from. Its name is
 * made on demand.
 */
export abstract class UnnamedWait {
  /** Monotonic milliseconds. */
  since = 0
  /** The named wait, or the request, in which it was started. */
  parent: WaitNode | null = null
  /** The request's list that contains it; null once it is over. */
  list: UnnamedWaits | null = null
  /** Neighbours in that list. */
  older: UnnamedWait | null = null
  newer: UnnamedWait | null = null

  /**
   * Whether an answer has arrived since. A subclass may instead call `end`, and return false here.
   */
  abstract get over(): boolean

  /** Whether the app waits for it at the moment. */
  get awaited(): boolean {
    return true
  }

  /** `127.0.0.1:5432 (postgresql)` */
  abstract describe(): string

  /** Later calls change nothing. */
  end(): void {
    this.list?.remove(this)
  }
}

/**
 * A list that grows beyond this is swept of waits that are over, so that a request with ten
 * thousand of them does not retain them all.
 */
const SWEEP_ABOVE = 32

/**
 * What one request has started, oldest first: a linked list, because waits end in any order and
 * removal must cost the same for each.
 */
export class UnnamedWaits {
  #oldest: UnnamedWait | null = null
  #newest: UnnamedWait | null = null
  #size = 0
  #sweepAbove = SWEEP_ABOVE

  /** The number of waits in the list, including those that are over and not swept yet. */
  get size(): number {
    return this.#size
  }

  /** Adds a wait that starts now; if it is in a list already, it leaves that one. */
  begin(wait: UnnamedWait): void {
    wait.list?.remove(wait)
    wait.since = monotonicNow()
    wait.parent = currentParent()
    wait.list = this
    wait.older = this.#newest
    if (this.#newest === null) this.#oldest = wait
    else this.#newest.newer = wait
    this.#newest = wait
    if (++this.#size > this.#sweepAbove) {
      this.open()
      this.#sweepAbove = Math.max(SWEEP_ABOVE, 2 * this.#size)
    }
  }

  remove(wait: UnnamedWait): void {
    if (wait.list !== this) return
    const { older, newer } = wait
    if (older === null) this.#oldest = newer
    else older.newer = newer
    if (newer === null) this.#newest = older
    else newer.older = older
    wait.list = null
    wait.parent = null
    wait.older = null
    wait.newer = null
    this.#size--
  }

  /** Those that are not over, longest first. Removes the others. */
  open(): UnnamedWait[] {
    const open: UnnamedWait[] = []
    for (let wait = this.#oldest; wait !== null; ) {
      const { newer } = wait
      if (wait.over) this.remove(wait)
      else open.push(wait)
      wait = newer
    }
    return open
  }

  /** The newest that matches. */
  find(matches: (wait: UnnamedWait) => boolean): UnnamedWait | null {
    for (let wait = this.#newest; wait !== null; wait = wait.older) {
      if (matches(wait)) return wait
    }
    return null
  }

  /** Removes all when the request ends: a socket that lives on must not retain it. */
  drop(): void {
    for (let wait = this.#oldest; wait !== null; wait = this.#oldest) this.remove(wait)
  }
}
