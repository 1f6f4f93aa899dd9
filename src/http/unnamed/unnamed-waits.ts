import { monotonicNow } from '../../resilience/clock.ts'
import type { WaitNode } from '../../resilience/wait-node.ts'
import { currentParent } from '../../resilience/wait-scope.ts'

/** Something a request has begun, and has heard nothing back from, that nobody gave a name. Its name is made when it is told. */
export abstract class UnnamedWait {
  /** Monotonic milliseconds. */
  since = 0
  /** What it was begun in: a wait with a name, or the request itself. */
  around: WaitNode | null = null
  /** The request's list it is in; null once it is over. */
  list: UnnamedWaits | null = null
  /** Neighbours in that list. */
  older: UnnamedWait | null = null
  newer: UnnamedWait | null = null

  /** Whether an answer has come meanwhile. What says so by itself calls `end`, and need not be asked. */
  abstract get over(): boolean

  /** Whether anybody waits for it at all, for the time being. */
  get awaited(): boolean {
    return true
  }

  /** `127.0.0.1:5432 (postgresql)` */
  abstract tell(): string

  /** Later calls change nothing. */
  end(): void {
    this.list?.remove(this)
  }
}

/** Above this many those that are over are looked for, so that a request that does ten thousand things does not hold them all. */
const SWEEP_ABOVE = 32

/** What one request has begun, the oldest first: a linked list, because things end in any order and each costs the same. */
export class UnnamedWaits {
  #oldest: UnnamedWait | null = null
  #newest: UnnamedWait | null = null
  #size = 0
  #sweepAbove = SWEEP_ABOVE

  /** How many are in the list, those included that are over and have not been asked yet. */
  get size(): number {
    return this.#size
  }

  /** It begins now; one that is in a list already leaves it. */
  begin(wait: UnnamedWait): void {
    wait.list?.remove(wait)
    wait.since = monotonicNow()
    wait.around = currentParent()
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
    wait.around = null
    wait.older = null
    wait.newer = null
    this.#size--
  }

  /** Those that are not over, the longest first. The others leave the list. */
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

  find(found: (wait: UnnamedWait) => boolean): UnnamedWait | null {
    for (let wait = this.#newest; wait !== null; wait = wait.older) {
      if (found(wait)) return wait
    }
    return null
  }

  /** Its request has ended: a socket that lives on must not hold it. */
  drop(): void {
    for (let wait = this.#oldest; wait !== null; wait = this.#oldest) this.remove(wait)
  }
}
