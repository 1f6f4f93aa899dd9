import { PunctualError } from '../errors/punctual-error.ts'
import { type Duration, type Milliseconds, readCount, readDuration } from './duration.ts'
import { recordRefusal, type WaitContext, WaitNode } from './wait-node.ts'
import { callWithin, type ParentOption, parentOf } from './wait-scope.ts'
import { startWait } from './with-timeout.ts'

export interface BulkheadOptions {
  /** How many calls are in work at once. */
  readonly concurrent: number
  /** How many more may wait for their turn; default 0. */
  readonly queue?: number
  /** How long a call may wait for its turn, besides what is left of its deadline. Default: 5 s. */
  readonly queueTimeout?: Duration
}

/** As many calls as the bulkhead allows are in work, and its queue is full: the call was not made. */
export class BulkheadFullError extends PunctualError {
  static {
    BulkheadFullError.prototype.name = 'BulkheadFullError'
  }

  readonly bulkhead: string
  readonly inWork: number
  readonly queued: number

  constructor(bulkhead: string, inWork: number, queued: number) {
    super(
      'PUNCTUAL_BULKHEAD_FULL',
      `the bulkhead "${bulkhead}" is full: ${inWork} in work, ${queued} queued; the call was not made`,
    )
    this.bulkhead = bulkhead
    this.inWork = inWork
    this.queued = queued
  }
}

/**
 * Bounds how many calls of a kind are in work at once, so that one slow thing cannot take every connection, thread or byte there is.
 * Calls beyond that wait in order of arrival, for a limited time; a queued call leaves when what is around it is given up. Its wait is in the
 * list of waits as `<name>: queue`.
 *
 * A call holds its place until its work has really ended, also when a wait inside or around it expired long before.
 */
export class Bulkhead {
  readonly name: string
  readonly #concurrent: number
  readonly #most: number
  readonly #queueTimeout: Milliseconds
  #inWork = 0
  /** Whoever waits for a place, in order of arrival; called when there is one. */
  readonly #queue = new Set<() => void>()

  /** @throws RangeError for options that do not apply */
  constructor(name: string, { concurrent, queue = 0, queueTimeout = '5s' }: BulkheadOptions) {
    const what = `the bulkhead "${name}"`
    this.name = name
    this.#concurrent = readCount(what, 'concurrent', concurrent, 1)
    this.#most = readCount(what, 'queue', queue, 0)
    this.#queueTimeout = readDuration(what, 'queueTimeout', queueTimeout)
  }

  /** Calls in work, those included that nobody awaits any more. */
  get inWork(): number {
    return this.#inWork
  }

  get queued(): number {
    return this.#queue.size
  }

  /**
   * Calls `work` as soon as there is a place.
   *
   * @returns what `work` returns; rejects with a `BulkheadFullError`, with a `WaitTimeoutError` of the queue, with the reason when what is around
   *   it is given up, or as `work` does
   */
  async run<Value>(work: (wait: WaitContext) => Value | PromiseLike<Value>, options?: ParentOption): Promise<Value> {
    const parent = parentOf(options)
    if (parent.reason !== undefined) throw parent.reason
    if (this.#inWork < this.#concurrent) this.#inWork++
    else await this.#takeTurn(parent)

    const place = new Place(parent, () => this.#release())
    // It may have been given up between its turn and now.
    if (parent.reason !== undefined) {
      place.vacate()
      throw parent.reason
    }
    place.join()
    try {
      return await callWithin(place, work)
    } finally {
      place.leave()
      place.vacate()
    }
  }

  /** Resolves once a place has been handed over. */
  #takeTurn(parent: WaitNode): Promise<boolean> {
    if (this.#queue.size >= this.#most) {
      recordRefusal(parent, this.name)
      throw new BulkheadFullError(this.name, this.#inWork, this.#queue.size)
    }
    const wait = ({ signal }: WaitContext): Promise<boolean> =>
      new Promise((resolve) => {
        const turn = (): void => {
          signal.removeEventListener('abort', leave)
          resolve(true)
        }
        const leave = (): void => {
          this.#queue.delete(turn)
          resolve(false)
        }
        signal.addEventListener('abort', leave, { once: true })
        this.#queue.add(turn)
      })
    return startWait(parent, `${this.name}: queue`, this.#queueTimeout, wait, {
      // The place was handed over in the moment in which the wait expired.
      dispose: (turn) => {
        if (turn) this.#release()
      },
    })
  }

  /** A place goes to whoever waits the longest, without becoming free in between. */
  #release(): void {
    for (const turn of this.#queue) {
      this.#queue.delete(turn)
      turn()
      return
    }
    this.#inWork--
  }
}

/** What a call in work occupies. */
class Place extends WaitNode {
  #release: (() => void) | null
  #vacated = false

  constructor(parent: WaitNode, release: () => void) {
    super(parent, parent.startedAt, parent.deadline, parent.reserve)
    this.#release = release
  }

  /** The call has ended; its place is free once nothing that it began goes on. */
  vacate(): void {
    this.#vacated = true
    if (!this.hasUnfinished) this.#free()
  }

  override finished(): void {
    if (this.#vacated) this.#free()
  }

  #free(): void {
    this.#release?.()
    this.#release = null
  }
}

/** A bulkhead of its own for each thing that can be overrun on its own. */
export function bulkhead(name: string, options: BulkheadOptions): Bulkhead {
  return new Bulkhead(name, options)
}
