import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed } from '../resilience/duration.ts'
import type { Batch } from './batch.ts'
import { type QueueEvent, tellError, tellItems } from './defer-events.ts'

/** Milliseconds: a poison item among good ones fails and succeeds in turn, which is not worth a line each time. */
const TELL_EVERY = 10_000
/** Below so many failures in a row their end is not worth a line. */
const WORTH_TELLING = 3

/** Whether the handler of a queue works, and says so when that changes. */
export class HandlerHealth {
  failures = 0
  /** What it has said last; null when it has succeeded since. */
  lastError: string | null = null
  readonly #queue: string
  readonly #tell: (event: Omit<QueueEvent, 'queue'>) => void
  #inARow = 0
  #since = 0
  #toldAt = Number.NEGATIVE_INFINITY
  #isTold = false

  constructor(queue: string, tell: (event: Omit<QueueEvent, 'queue'>) => void) {
    this.#queue = queue
    this.#tell = tell
  }

  succeeded(): void {
    if (this.#isTold && this.#inARow >= WORTH_TELLING) {
      const message = `deferred ${this.#queue}: the handler succeeds again, after ${this.#inARow} failures in ${formatElapsed(monotonicNow() - this.#since)}`
      this.#tell({ type: 'succeeding', severity: 'info', message, details: { failures: this.#inARow } })
    }
    this.#inARow = 0
    this.#isTold = false
    this.lastError = null
  }

  /** @param again in how many milliseconds something is tried again */
  failed(batch: Batch, error: unknown, again: number): void {
    const now = monotonicNow()
    this.failures++
    if (this.#inARow++ === 0) this.#since = now
    this.lastError = tellError(error)
    if (this.#isTold || now - this.#toldAt < TELL_EVERY) return
    this.#toldAt = now
    this.#isTold = true
    const next = again === 0 ? 'at once' : `in ${formatElapsed(again)}`
    const message = `deferred ${this.#queue}: the handler failed with ${tellItems(batch.items.length)}, attempt ${batch.failed}: ${this.lastError}; the next attempt is ${next}`
    const details = { items: batch.items.length, attempt: batch.failed, retryInMs: again, error: this.lastError }
    this.#tell({ type: 'failing', severity: 'warn', message, details })
  }
}
