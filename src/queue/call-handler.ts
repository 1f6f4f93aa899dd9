import { after } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import { isThenable } from '../system/is-thenable.ts'
import type { DeferredItem } from './deferred-item.ts'
import { PermanentError } from './permanent-error.ts'

/** What a handler is told beside the items. */
export interface QueueContext {
  /** Aborted when the call runs out, or the process leaves; queries of guarded pools and waits of the toolkit end by it anyway. */
  readonly signal: AbortSignal
  /** 1 for the first time that this process has these items handled. */
  readonly attempt: number
  /** ULIDs of the items, in the same order. An item that comes twice has the same id both times. */
  readonly ids: readonly string[]
}

/** Carries out what was deferred. It has failed when it throws or rejects, or takes longer than `limit`; then it gets the same items again. */
export type QueueHandler<Item> = (items: Item[], context: QueueContext) => unknown

/** How long one that ran out and goes on is waited for, in milliseconds, before the queue goes on beside it. */
const LONGEST_GRACE = 5_000

export interface CallOptions {
  readonly queue: string
  readonly limit: Milliseconds
  readonly attempt: number
  /** Gives the call up: the process leaves. */
  readonly stop: AbortSignal
  /** Told when a handler that was cut goes on, and when that one has ended. */
  readonly onZombie: (change: 1 | -1) => void
}

/**
 * Calls the handler in a scope of its own, part of no request: what it awaits through the toolkit ends by its limit.
 *
 * @returns null when it succeeded, else what failed. One that goes on after its limit has been given a while to end by then.
 */
export async function callHandler(
  handler: QueueHandler<unknown>,
  deferred: readonly DeferredItem[],
  { queue, limit, attempt, stop, onZombie }: CallOptions,
): Promise<{ readonly error: unknown } | null> {
  const call = new Call()
  try {
    const items = parse(deferred)
    const ids = deferred.map(({ id }) => id)
    await withDeadline(
      `deferred ${queue}`,
      limit,
      (scope) =>
        call.watch(
          handler(items, {
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
    if (call.goesOn) {
      onZombie(1)
      call.onEnded(() => onZombie(-1))
      if (!stop.aborted) await call.outlive(ms(Math.min(limit, LONGEST_GRACE)))
    }
    return { error }
  }
}

/** One call, which may go on after it was given up. */
class Call {
  #ended: Promise<void> | null = null
  goesOn = false

  watch(result: unknown): unknown {
    if (!isThenable(result)) return undefined
    this.goesOn = true
    const over = (): void => {
      this.goesOn = false
    }
    const settled = Promise.resolve(result)
    this.#ended = settled.then(over, over)
    return settled
  }

  onEnded(listener: () => void): void {
    void this.#ended?.then(listener)
  }

  /** Resolves when it has ended, at the latest after `grace`. */
  outlive(grace: Milliseconds): Promise<void> {
    return new Promise((resolve) => {
      const cancel = after(grace, resolve, { keepAlive: false })
      this.onEnded(() => {
        cancel()
        resolve()
      })
    })
  }
}

function parse(deferred: readonly DeferredItem[]): unknown[] {
  try {
    return deferred.map(({ json }) => JSON.parse(json))
  } catch {
    // Only what something else than us has written can be so. It must not hold up the others.
    const ids = deferred.filter(({ json }) => !isJson(json)).map(({ id }) => id)
    throw new PermanentError('the item is no JSON', { ids })
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
