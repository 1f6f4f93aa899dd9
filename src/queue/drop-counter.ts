import type { DropReason } from '../diagnostics/modules/defer-report.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { type QueueEvent, tellError, tellItems } from './defer-events.ts'

/** Milliseconds between two lines of a queue. */
const TELL_EVERY = 1_000

/** Behind "N items …". */
const BECAUSE: Readonly<Record<DropReason, string>> = {
  full: 'dropped: the queue is full',
  oldest: 'dropped for newer ones: the queue is full',
  rejected: 'not accepted: the queue is full',
  'too-large': 'dropped: larger than maxBytes',
  unserialisable: 'dropped: no JSON can be made of it',
  closed: 'dropped: the queue is closed',
  lost: 'lost: in memory alone when the process left',
  'dead-letters-full': 'deleted from the dead letters: there were too many',
}

/** Counts what a queue drops, by reason, and tells it at most once a second. */
export class DropCounter {
  readonly #queue: string
  readonly #tell: (event: Omit<QueueEvent, 'queue'>) => void
  readonly #total: Partial<Record<DropReason, number>> = {}
  readonly #untold = new Map<DropReason, number>()
  #error: unknown
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(queue: string, tell: (event: Omit<QueueEvent, 'queue'>) => void) {
    this.#queue = queue
    this.#tell = tell
  }

  get total(): Readonly<Partial<Record<DropReason, number>>> {
    return this.#total
  }

  add(reason: DropReason, count = 1, error?: unknown): void {
    this.count(reason, count)
    this.#untold.set(reason, (this.#untold.get(reason) ?? 0) + count)
    if (error !== undefined) this.#error = error
    this.tellDue()
  }

  /** For what is told otherwise. */
  count(reason: DropReason, count: number): void {
    this.#total[reason] = (this.#total[reason] ?? 0) + count
  }

  /** Tells what has come together, if it is time. */
  tellDue(now: number = monotonicNow()): void {
    if (this.#untold.size === 0 || now - this.#toldAt < TELL_EVERY) return
    this.#toldAt = now
    const parts = Array.from(this.#untold, ([reason, count]) => `${tellItems(count)} ${BECAUSE[reason]}`)
    const drops = Object.fromEntries(this.#untold)
    const error = this.#error === undefined ? null : tellError(this.#error)
    this.#untold.clear()
    this.#error = undefined
    const message = `deferred ${this.#queue}: ${parts.join('; ')}${error === null ? '' : ` (${error})`}`
    this.#tell({ type: 'dropped', severity: 'warn', message, details: { drops, error } })
  }
}
