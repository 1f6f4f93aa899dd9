import { AsyncResource } from 'node:async_hooks'
import { BoundedOperation } from '../../resilience/bounded-operation.ts'
import { type RequestScope, scopes } from '../scope.ts'

/** An entry of a queue. It contains its own links, so that removal costs the same everywhere. */
export interface Queued {
  older: this | null
  newer: this | null
  isQueued: boolean
}

/** A queue in order of arrival: a linked list, because entries leave in any order. */
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

  /** Does nothing if it is not in the queue. */
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

/**
 * A queued request, recorded as the first of its waits. It leaves the queue when it is started, and
 * when it times out, its client disconnects or the worker shuts down.
 */
export class QueuedRequest extends BoundedOperation implements Queued {
  readonly name: string = 'request queue'
  readonly scope: RequestScope
  older: this | null = null
  newer: this | null = null
  isQueued = false
  readonly #queue: RequestQueue<QueuedRequest>
  readonly #begin: () => void
  /** The async context of its connection, in which an app may have stores of its own. */
  readonly #context = new AsyncResource('punctual.request')

  /** @param begin calls its handler */
  constructor(scope: RequestScope, queue: RequestQueue<QueuedRequest>, now: number, begin: () => void) {
    super(scope, now, scope.deadline, scope.remaining)
    this.scope = scope
    this.#queue = queue
    this.#begin = begin
    this.enroll()
    queue.join(this)
  }

  /** Calls its handler in its scope. */
  start(): void {
    this.#queue.leave(this)
    this.endWork()
    this.settle('ok')
    this.#context.runInAsyncScope(enter, undefined, this.scope, this.#begin)
  }

  protected override timeoutError(): never {
    throw new Error('a queued request has no timer of its own')
  }

  protected override onGivenUp(): void {
    this.#queue.leave(this)
  }
}

function enter(scope: RequestScope, begin: () => void): void {
  scopes.enterWith(scope)
  begin()
}
