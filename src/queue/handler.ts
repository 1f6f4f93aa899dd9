import { type Milliseconds, ms } from '../resilience/duration.ts'
import { waitAtMost } from '../resilience/wait-at-most.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import { isThenable } from '../system/is-thenable.ts'
import type { Batch, QueueItem } from './batch.ts'
import { type CrashMarkers, KILLS_PROCESS, MAX_CRASHES } from './crash-markers.ts'

/** What a handler gets besides the items. */
export interface QueueContext {
  /**
   * Aborted when the call times out or the process shuts down. Queries of guarded pools and waits
   * of the toolkit end with the call anyway.
   */
  readonly signal: AbortSignal
  /** 1 for the first time that this process has these items handled. */
  readonly attempt: number
  /** ULIDs of the items, in the same order. They stay the same for every delivery. */
  readonly ids: readonly string[]
}

/**
 * Handles the items of a queue. A call fails when it throws, rejects or takes longer than
 * `timeout`; the items are then delivered again.
 */
export type QueueHandler<Item> = (items: Item[], context: QueueContext) => unknown

/**
 * Thrown by a handler of a durable queue to say that a retry is useless: the items become dead
 * letters at once.
 *
 * With `ids`, only those items do, and the others of the batch are retried without delay. Without
 * `ids`, a batch of several items is halved to find out which ones are meant.
 */
export class PermanentError extends Error {
  static {
    PermanentError.prototype.name = 'PermanentError'
  }

  readonly permanent = true
  /** Ids of the items that cannot be handled; undefined when the handler does not know which. */
  readonly ids: readonly string[] | undefined

  constructor(message: string, options: { readonly cause?: unknown; readonly ids?: readonly string[] } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.ids = options.ids
  }
}

/** By property, not by class: an app may have another copy of Punctual, or its own errors. */
export function isPermanent(error: unknown): boolean {
  return typeof error === 'object' && error !== null && (error as { permanent?: unknown }).permanent === true
}

/** The ids that a permanent error names. */
export function idsOf(error: unknown): ReadonlySet<string> {
  const ids = isPermanent(error) ? (error as { ids?: unknown }).ids : undefined
  return new Set(Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [])
}

/** Why a call failed. */
export interface HandlerFailure {
  readonly error: unknown
}

export interface HandlerRunnerOptions {
  readonly queue: string
  /** Of one call. */
  readonly timeout: Milliseconds
  readonly markers?: CrashMarkers
  /** The handler is a transport: a crash says nothing about the real handler. */
  readonly isForwarding?: boolean
}

/** Calls the handler of one queue, and counts its calls. */
export class HandlerRunner {
  /** Calls with items that had failed before. */
  retries = 0
  /** Calls that timed out and are still running. */
  abandoned = 0
  readonly #handler: QueueHandler<unknown>
  readonly #options: HandlerRunnerOptions

  constructor(handler: QueueHandler<unknown>, options: HandlerRunnerOptions) {
    this.#handler = handler
    this.#options = options
  }

  /**
   * Calls the handler in a scope of its own, outside of any request: what it awaits through the
   * toolkit ends with the call. A call that continues after its timeout gets some time to end.
   *
   * @param attempt 1 for the first
   * @param stop aborts the call, because the process shuts down
   * @returns null when the call succeeded
   */
  async call(items: readonly QueueItem[], attempt: number, stop: AbortSignal): Promise<HandlerFailure | null> {
    const { queue, timeout } = this.#options
    const call = new Call()
    try {
      const values = parse(items)
      const ids = items.map(({ id }) => id)
      await withDeadline(
        `queue ${queue}`,
        timeout,
        (scope) =>
          call.track(
            this.#handler(values, {
              get signal() {
                return scope.signal
              },
              attempt,
              ids,
            }),
          ),
        { parent: null, signal: stop },
      )
      return null
    } catch (error) {
      const { running } = call
      if (running !== null) {
        this.abandoned++
        void running.then(() => void this.abandoned--)
        if (!stop.aborted) await waitAtMost(grace(timeout), running, undefined, { keepAlive: false })
      }
      return { error }
    }
  }

  /** The same for a batch, with a marker. Fails an item that killed several processes uncalled. */
  async callWith(batch: Batch, stop: AbortSignal): Promise<HandlerFailure | null> {
    if (batch.failed > 0) this.retries++
    const { crashes = 0, source = null } = batch.items[0] ?? {}
    const { markers, isForwarding = false } = this.#options
    if (crashes >= MAX_CRASHES && !isForwarding) {
      const error = new PermanentError(`${crashes} processes died while they handled this item`)
      return { error: Object.assign(error, { code: KILLS_PROCESS }) }
    }
    const unmark = source === null ? undefined : markers?.mark(batch.items)
    const failure = await this.call(batch.items, batch.failed + 1, stop)
    unmark?.()
    return failure
  }
}

/** How long a call that timed out is waited for at most, before the queue continues beside it. */
const MAX_GRACE = 5_000

function grace(timeout: Milliseconds): Milliseconds {
  return ms(Math.min(timeout, MAX_GRACE))
}

/** Knows whether what a handler returned is still running. */
class Call {
  /** Resolves when it has ended; null when it has, or never was asynchronous. */
  running: Promise<void> | null = null

  track(result: unknown): unknown {
    if (!isThenable(result)) return undefined
    const settled = Promise.resolve(result)
    const ended = (): void => {
      this.running = null
    }
    this.running = settled.then(ended, ended)
    return settled
  }
}

function parse(items: readonly QueueItem[]): unknown[] {
  try {
    return items.map(({ json }) => JSON.parse(json))
  } catch {
    // Another program wrote these. They must not delay the others of the batch.
    const ids = items.filter(({ json }) => !isJson(json)).map(({ id }) => id)
    throw new PermanentError('the item is not valid JSON', { ids })
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
