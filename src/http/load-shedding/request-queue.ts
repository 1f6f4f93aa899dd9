/**
 * What can wait at a door: it carries its own links, so that it can leave from anywhere at the same
 * cost.
 */
export interface Queued {
  older: this | null
  newer: this | null
  isQueued: boolean
}

/**
 * Requests that wait to be let in, in the order in which they came: a linked list, because they
 * leave in any order.
 */
export class RequestQueue<T extends Queued> {
  #oldest: T | null = null
  #newest: T | null = null
  #size = 0

  get size(): number {
    return this.#size
  }

  get oldest(): T | null {
    return this.#oldest
  }

  get newest(): T | null {
    return this.#newest
  }

  join(one: T): void {
    one.isQueued = true
    one.older = this.#newest
    one.newer = null
    if (this.#newest === null) this.#oldest = one
    else this.#newest.newer = one
    this.#newest = one
    this.#size++
  }

  /** Does nothing for one that is not there. */
  leave(one: T): void {
    if (!one.isQueued) return
    one.isQueued = false
    if (one.older === null) this.#oldest = one.newer
    else one.older.newer = one.newer
    if (one.newer === null) this.#newest = one.older
    else one.newer.older = one.older
    one.older = null
    one.newer = null
    this.#size--
  }
}
