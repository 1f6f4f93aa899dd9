import { resolve } from 'node:path'
import { UsageError } from '../errors/punctual-error.ts'
import { workerLine } from '../protocol/worker-line.ts'
import type { DeferQueueReport } from '../report/rooms/defer-report.ts'
import { type Limit, readCount, readLimit } from '../wait/limit.ts'
import type { DeferHandler } from './call-handler.ts'
import { type DeferOptions, readDeferOptions } from './defer-options.ts'
import { DeferQueue, type Offered } from './defer-queue.ts'
import { giveNameBack, queues, takeName } from './queues.ts'

/** Defers an item of one kind; see `defer`. */
export interface Deferred<Item> {
  /** Returns at once, in microseconds. True: it will survive the death of the process. False: it is in memory alone, or was not accepted. Never throws. */
  (item: Item): boolean
  readonly name: string
  /** The same for who needs to know which: on disk, in memory alone, dropped, or rejected (`onFull: 'reject'`). */
  offer(item: Item): Offered
  /**
   * Delivers what there is without waiting for more.
   *
   * @param limit default `5s`
   * @returns true when nothing is left, false when the limit ran out before
   */
  flush(limit?: Limit): Promise<boolean>
  /**
   * With `durability: 'disk'`: resolves when what was accepted so far would survive the loss of power. Else at once.
   *
   * @param limit default `5s`
   * @throws Error (rejects) when it would not, because items are in memory alone or the disk has refused; for as long as that is so
   * @throws WaitExpiredError (rejects) when the disk has not answered within the limit
   */
  synced(limit?: Limit): Promise<void>
  /** The queue at this moment, as in `/status`. */
  stats(): DeferQueueReport
  /**
   * Delivers what can be delivered within the limit, leaves the rest on disk, and accepts nothing more. The name may be used again then.
   *
   * @param limit default `5s`
   */
  close(limit?: Limit): Promise<void>
}

const DEFAULT_LIMIT = '5s'

/**
 * Takes work out of the response: what is returned is called with an item, takes microseconds, and never throws, waits or fails. The item is written to
 * a file first, so that it survives the process, and given to `handler` with others a little later, below requests. At least once: a handler
 * must not mind to see an id twice.
 *
 * Items go as JSON: a handler gets what `JSON.parse` makes of them. One that cannot be written so is dropped and counted, since what is deferred must never
 * fail a request.
 *
 * @param name of the queue, and of its directory: `<state directory>/spool/<name>`
 * @throws UsageError for a name that is no file name or is taken in this process, and for options that do not apply
 * @throws RangeError for numbers, sizes and limits that do not apply
 */
export function defer<Item>(name: string, handler: DeferHandler<Item>, options: DeferOptions = {}): Deferred<Item> {
  const settings = readDeferOptions(name, options)
  if (typeof handler !== 'function') {
    throw new UsageError(`defer "${name}": give a handler: defer("${name}", async (items, { signal }) => { … })`)
  }
  if (!takeName(name)) {
    throw new UsageError(
      `defer "${name}": there is a queue of this name in this process already; define it once, in a module that others import`,
    )
  }
  const stateDir = workerLine()?.stateDir ?? resolve(settings.stateDir ?? '.punctual')
  const queue = new DeferQueue(settings, handler as DeferHandler<unknown>, stateDir, queues)
  queues.add(queue)
  let closing: Promise<void> | null = null
  const limitOf = (what: string, limit: Limit | undefined): ReturnType<typeof readLimit> =>
    readLimit(`defer "${name}"`, `limit of ${what}`, limit ?? DEFAULT_LIMIT)
  const close = async (limit: ReturnType<typeof readLimit>): Promise<void> => {
    await queue.close(limit)
    queues.remove(name)
    giveNameBack(name)
  }
  const deferred = (item: Item): boolean => queue.offer(item) === 'spooled'
  Object.defineProperty(deferred, 'name', { value: name })
  return Object.assign(deferred, {
    offer: (item: Item) => queue.offer(item),
    flush: async (limit?: Limit) => queue.flush(limitOf('flush', limit)),
    synced: async (limit?: Limit) => queue.synced(limitOf('synced', limit)),
    stats: () => queue.report(),
    close: async (limit?: Limit) => {
      closing ??= close(limitOf('close', limit))
      await closing
    },
  })
}

/**
 * How many handlers of deferred work run at a time in this process, over all queues; default 2. So it is how many connections of a pool deferred work may
 * take from requests, where each handler uses one.
 *
 * @throws RangeError unless it is a whole number from 1 upwards
 */
export function deferConcurrency(most: number): void {
  queues.slots.most = readCount('deferConcurrency', 'most', most, 1)
}
