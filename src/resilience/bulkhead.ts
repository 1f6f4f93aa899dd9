import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { type Duration, type Milliseconds, readCount, readDuration } from './duration.ts'
import { recordRefusal, type WaitContext, WaitNode } from './wait-node.ts'
import { callWithin, PARENT_OPTION, type ParentOption, parentOf } from './wait-scope.ts'
import { startWait } from './with-timeout.ts'

export interface BulkheadOptions {
  /** How many calls run at once. */
  readonly concurrent: number
  /** How many more calls may be queued. Default: 0. */
  readonly queue?: number
  /** How long a call may be queued, if its deadline is not sooner. Default: 5 s. */
  readonly queueTimeout?: Duration
}

const OPTIONS: OptionNames<BulkheadOptions> = { concurrent: true, queue: true, queueTimeout: true }

/** The bulkhead and its queue are full; the call was not made. */
export class BulkheadFullError extends PunctualError {
  static {
    BulkheadFullError.prototype.name = 'BulkheadFullError'
  }

  readonly bulkhead: string
  readonly running: number
  readonly queued: number

  constructor(bulkhead: string, running: number, queued: number) {
    super(
      'PUNCTUAL_BULKHEAD_FULL',
      `the bulkhead "${bulkhead}" is full: ${running} running, ${queued} queued; the call was not made`,
    )
    this.bulkhead = bulkhead
    this.running = running
    this.queued = queued
  }
}

/**
 * Limits how many calls of a kind run at once, so that one slow dependency cannot take all
 * connections, threads or memory. Further calls are queued in order of arrival, for a limited time;
 * a queued call leaves the queue when its request is given up. The time in the queue is in the list
 * of waits as `<name>: queue`.
 *
 * A call holds its slot until its work has ended, even if a wait inside or around it timed out long
 * before.
 */
export class Bulkhead {
  readonly name: string
  readonly #concurrent: number
  readonly #maxQueued: number
  readonly #queueTimeout: Milliseconds
  #running = 0
  /** Queued calls in order of arrival; each is called when it gets a slot. */
  readonly #queue = new Set<() => void>()

  /** @throws InvalidOptionError for an invalid option */
  constructor(name: string, options: BulkheadOptions) {
    const what = `the bulkhead "${name}"`
    checkOptions(what, options, OPTIONS)
    const { concurrent, queue = 0, queueTimeout = '5s' } = options
    this.name = name
    this.#concurrent = readCount(what, 'concurrent', concurrent, 1)
    this.#maxQueued = readCount(what, 'queue', queue, 0)
    this.#queueTimeout = readDuration(what, 'queueTimeout', queueTimeout)
  }

  /** Calls that run, including abandoned ones. */
  get running(): number {
    return this.#running
  }

  get queued(): number {
    return this.#queue.size
  }

  /**
   * Calls `work` as soon as there is a slot.
   *
   * @returns what `work` returns; rejects with a `BulkheadFullError`, with a `WaitTimeoutError` of
   *   the queue, with the reason if it is given up with its request, or as `work` does
   */
  async run<Value>(work: (wait: WaitContext) => Value | PromiseLike<Value>, options?: ParentOption): Promise<Value> {
    if (options !== undefined) checkOptions(`the bulkhead "${this.name}"`, options, PARENT_OPTION)
    const parent = parentOf(options)
    if (parent.reason !== undefined) throw parent.reason
    if (this.#running < this.#concurrent) this.#running++
    else await this.#queued(parent)

    const slot = new Slot(parent, () => this.#release())
    // It may have been given up since it got the slot.
    if (parent.reason !== undefined) {
      slot.vacate()
      throw parent.reason
    }
    slot.join()
    try {
      return await callWithin(slot, work)
    } finally {
      slot.leave()
      slot.vacate()
    }
  }

  /** Resolves when the call has a slot. */
  #queued(parent: WaitNode): Promise<boolean> {
    if (this.#queue.size >= this.#maxQueued) {
      recordRefusal(parent, this.name)
      throw new BulkheadFullError(this.name, this.#running, this.#queue.size)
    }
    const wait = ({ signal }: WaitContext): Promise<boolean> =>
      new Promise((resolve) => {
        const start = (): void => {
          signal.removeEventListener('abort', leave)
          resolve(true)
        }
        const leave = (): void => {
          this.#queue.delete(start)
          resolve(false)
        }
        signal.addEventListener('abort', leave, { once: true })
        this.#queue.add(start)
      })
    return startWait(parent, `${this.name}: queue`, this.#queueTimeout, wait, {
      // It got the slot at the moment of its timeout.
      dispose: (hasSlot) => {
        if (hasSlot) this.#release()
      },
    })
  }

  /** The slot goes to the call that was queued first, without becoming free in between. */
  #release(): void {
    for (const start of this.#queue) {
      this.#queue.delete(start)
      start()
      return
    }
    this.#running--
  }
}

/** The slot of a running call. */
class Slot extends WaitNode {
  #release: (() => void) | null
  #vacated = false

  constructor(parent: WaitNode, release: () => void) {
    super(parent, parent.startedAt, parent.deadline, parent.reserve)
    this.#release = release
  }

  override deadlineFor(startedAt: number): number {
    return (this.parent as WaitNode).deadlineFor(startedAt)
  }

  override available(now: number): number {
    return (this.parent as WaitNode).available(now)
  }

  /** The call has ended; its slot is free when no abandoned work of it runs. */
  vacate(): void {
    this.#vacated = true
    if (!this.hasAbandoned) this.#free()
  }

  override onAbandonedEnded(): void {
    if (this.#vacated) this.#free()
  }

  #free(): void {
    this.#release?.()
    this.#release = null
  }
}

/**
 * Creates a bulkhead. Use one for each dependency that can be overloaded on its own.
 *
 * @param name appears in errors and in the list of waits
 * @throws InvalidOptionError for an invalid option
 */
export function bulkhead(name: string, options: BulkheadOptions): Bulkhead {
  return new Bulkhead(name, options)
}
