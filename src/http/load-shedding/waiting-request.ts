import { AsyncResource } from 'node:async_hooks'
import { isTimeout } from '../../resilience/abort-reason.ts'
import type { Milliseconds } from '../../resilience/duration.ts'
import { WaitNode } from '../../resilience/wait-node.ts'
import type { WaitOutcome, WaitRecord } from '../../resilience/waits.ts'
import { type RequestScope, scopes } from '../scope.ts'
import type { Queued, RequestQueue } from './request-queue.ts'

/** What such a wait is called in the list of waits of its request. */
const NAME = 'request queue'

/**
 * A request that waits at the door: the first wait in its list of waits. It is given up with its
 * request, whether because the deadline passed, the client left or the worker goes, and leaves the
 * door at that moment.
 */
export class QueuedRequest extends WaitNode implements WaitRecord, Queued {
  readonly name: string = NAME
  readonly scope: RequestScope
  readonly timeout: Milliseconds
  outcome: WaitOutcome | null = null
  endedAt: number | null = null
  older: this | null = null
  newer: this | null = null
  isQueued = false
  readonly #door: RequestQueue<QueuedRequest>
  readonly #begin: () => void
  /** The context it came in, which is that of its connection: an app may have stores of its own. */
  readonly #context = new AsyncResource('punctual.request')

  /** @param begin calls its handler */
  constructor(scope: RequestScope, door: RequestQueue<QueuedRequest>, now: number, begin: () => void) {
    super(scope, now, scope.deadline)
    this.scope = scope
    this.timeout = scope.remaining
    this.#door = door
    this.#begin = begin
    scope.waits.begin(this)
    this.join()
    door.join(this)
  }

  /** Its turn has come: its handler is called, in its scope. */
  start(now: number): void {
    this.#end('ok', now)
    this.leave()
    this.#context.runInAsyncScope(enter, undefined, this.scope, this.#begin)
  }

  override giveUp(reason: unknown): void {
    if (this.over) return
    this.#end(isTimeout(reason) ? 'timed-out' : 'aborted', this.wheel.now())
    super.giveUp(reason)
  }

  #end(outcome: WaitOutcome, now: number): void {
    this.#door.leave(this)
    if (this.outcome !== null) return
    this.outcome = outcome
    this.endedAt = now
    this.scope.waits.end(this)
  }
}

function enter(scope: RequestScope, begin: () => void): void {
  scopes.enterWith(scope)
  begin()
}
