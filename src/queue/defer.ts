import { resolve } from 'node:path'
import type { QueueReport } from '../diagnostics/modules/defer-report.ts'
import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { workerChannel } from '../ipc/worker-channel.ts'
import { type Duration, readCount, readDuration } from '../resilience/duration.ts'
import type { QueueHandler } from './call-handler.ts'
import { type DurableQueueOptions, readQueueOptions } from './defer-options.ts'
import { type PushResult, Queue } from './defer-queue.ts'
import { giveNameBack, queues, takeName } from './queues.ts'

/** A queue of one kind of item; see `durableQueue`. */
export interface DurableQueue<Item> {
  readonly name: string
  /**
   * Takes an item, in microseconds, and says where it went. Never throws, not even for an item that is not JSON-serializable: that one is dropped and counted.
   *
   * - `persisted`: on disk; the item survives the death of the process.
   * - `memory`: in memory only, because the disk does not take it or `durability` is `memory`.
   * - `dropped`: not accepted, or the queue is closed.
   * - `rejected`: not accepted, because the queue is full and `onFull` is `reject`.
   */
  push(item: Item): PushResult
  /**
   * Delivers the items that are there without waiting for more.
   *
   * @param limit default `5s`
   * @returns true when the queue is empty, false when the limit passed first
   */
  flush(limit?: Duration): Promise<boolean>
  /**
   * With `durability: 'disk'`: resolves when everything accepted so far would survive a loss of power. Otherwise resolves at once.
   *
   * @param limit default `5s`
   * @throws PunctualError (rejects, `PUNCTUAL_QUEUE_NOT_SYNCED`) while items are in memory only, or the disk has refused to sync them
   * @throws WaitTimeoutError (rejects) when the disk has not answered within the limit
   */
  synced(limit?: Duration): Promise<void>
  /** The state of the queue, as in `/status`. */
  stats(): QueueReport
  /**
   * Delivers what can be delivered within the limit, leaves the rest on disk and accepts nothing more. Afterwards the name can be used again.
   *
   * @param limit default `5s`
   */
  close(limit?: Duration): Promise<void>
}

const DEFAULT_LIMIT = '5s'

/**
 * Moves work out of the response. `push` writes an item to a file, so that it survives the process, and the handler gets it a little later, in a batch with others, at a lower
 * priority than requests. Delivery is at least once: a handler must tolerate the same id twice.
 *
 * Items are stored as JSON: a handler gets what `JSON.parse` returns.
 *
 * @param name of the queue, and of its directory: `<state directory>/spool/<name>`
 * @throws UsageError when this process already has a queue of this name
 * @throws InvalidOptionError for a name that is not a file name, a handler that is not a function, and invalid options
 */
export function durableQueue<Item>(
  name: string,
  handler: QueueHandler<Item>,
  options: DurableQueueOptions = {},
): DurableQueue<Item> {
  const settings = readQueueOptions(name, options)
  if (typeof handler !== 'function') {
    throw new InvalidOptionError(`durableQueue "${name}"`, 'handler', handler, 'must be a function')
  }
  if (!takeName(name)) {
    throw new UsageError(
      `durableQueue "${name}": this process already has a queue with this name; create it once, in a module that others import`,
      { details: { queue: name, reason: 'name-taken' } },
    )
  }
  const stateDir = workerChannel()?.stateDir ?? resolve(settings.stateDir ?? '.punctual')
  const queue = new Queue(settings, handler as QueueHandler<unknown>, stateDir, queues)
  queues.add(queue)
  let closing: Promise<void> | null = null
  const limitOf = (what: string, limit: Duration | undefined): ReturnType<typeof readDuration> =>
    readDuration(`durableQueue "${name}"`, `limit of ${what}`, limit ?? DEFAULT_LIMIT)
  const close = async (limit: ReturnType<typeof readDuration>): Promise<void> => {
    await queue.close(limit)
    queues.remove(name)
    giveNameBack(name)
  }
  return {
    name,
    push: (item) => queue.push(item),
    flush: async (limit) => queue.flush(limitOf('flush', limit)),
    synced: async (limit) => queue.synced(limitOf('synced', limit)),
    stats: () => queue.report(),
    close: async (limit) => {
      closing ??= close(limitOf('close', limit))
      await closing
    },
  }
}

/**
 * How many handlers of deferred work run at a time in this process, over all queues; default 2. So it is how many connections of a pool deferred work may
 * take from requests, where each handler uses one.
 *
 * @throws InvalidOptionError unless it is a whole number from 1 upwards
 */
export function queueConcurrency(most: number): void {
  queues.slots.most = readCount('queueConcurrency', 'most', most, 1)
}
