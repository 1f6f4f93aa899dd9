import { resolve } from 'node:path'
import { InvalidOptionError, UsageError } from '../errors/punctual-error.ts'
import { workerChannel } from '../ipc/worker-channel.ts'
import { type Duration, type Milliseconds, readCount, readDuration } from '../resilience/duration.ts'
import { ProcessGlobal } from '../system/process-global.ts'
import type { QueueHandler } from './handler.ts'
import { type PushResult, Queue } from './queue.ts'
import { type DurableQueueOptions, readQueueOptions } from './queue-options.ts'
import { queueRegistry } from './queue-registry.ts'
import type { QueueReport } from './queue-report.ts'

/** A queue of one kind of item; see `durableQueue`. */
export interface DurableQueue<Item> {
  readonly name: string
  /**
   * Takes an item, in microseconds, and says where it went. Never throws, not even for an item that
   * is not JSON-serializable: that one is dropped and counted.
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
   * @param timeout default `5s`
   * @returns true when the queue is empty, false when the timeout passed first
   */
  flush(timeout?: Duration): Promise<boolean>
  /**
   * With `durability: 'disk'`: resolves when everything accepted so far would survive a loss of
   * power. Otherwise resolves at once.
   *
   * @param timeout default `5s`
   * @throws PunctualError (rejects, `PUNCTUAL_QUEUE_NOT_SYNCED`) while items are in memory only, or
   * the disk has refused to sync them
   * @throws WaitTimeoutError (rejects) when the disk has not answered within the timeout
   */
  synced(timeout?: Duration): Promise<void>
  /** The state of the queue, as in `/status`. */
  stats(): QueueReport
  /**
   * Delivers what can be delivered within the timeout, leaves the rest on disk and accepts nothing
   * more. Afterwards the name can be used again.
   *
   * @param timeout default `5s`
   */
  close(timeout?: Duration): Promise<void>
}

const DEFAULT_TIMEOUT = '5s'

/** Shared by all copies of Punctual in this process, which would write to the same directory. */
const openNames = new ProcessGlobal<Set<string>>('deferred')

/**
 * Moves work out of the response. `push` writes an item to a file, so that it survives the process,
 * and the handler gets it a little later, in a batch with others, with lower priority than
 * requests. Delivery is at least once: a handler must tolerate the same id twice.
 *
 * Items are stored as JSON: a handler gets what `JSON.parse` returns.
 *
 * @param name of the queue, and of its directory: `<state directory>/spool/<name>`
 * @throws UsageError when this process already has a queue of this name
 * @throws InvalidOptionError for a name that is not a file name, a handler that is not a function,
 * and invalid options
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
  const names = openNames.getOrCreate(() => new Set())
  if (names.has(name)) {
    throw new UsageError(
      `durableQueue "${name}": this process already has a queue of this name; create it once, in a module that others import`,
      { details: { queue: name, reason: 'name-taken' } },
    )
  }
  names.add(name)
  const stateDir = workerChannel()?.stateDir ?? resolve(settings.stateDir ?? '.punctual')
  const queue = new Queue(settings, handler as QueueHandler<unknown>, stateDir, queueRegistry)
  queueRegistry.add(queue)
  let closing: Promise<void> | null = null
  const timeoutOf = (method: string, timeout: Duration | undefined): Milliseconds =>
    readDuration(`${method} of durableQueue "${name}"`, 'timeout', timeout ?? DEFAULT_TIMEOUT)
  const close = async (timeout: Milliseconds): Promise<void> => {
    await queue.close(timeout)
    queueRegistry.remove(queue)
    names.delete(name)
  }
  return {
    name,
    push: (item) => queue.push(item),
    flush: async (timeout) => queue.flush(timeoutOf('flush', timeout)),
    synced: async (timeout) => queue.synced(timeoutOf('synced', timeout)),
    stats: () => queue.report(),
    close: async (timeout) => {
      closing ??= close(timeoutOf('close', timeout))
      await closing
    },
  }
}

/**
 * Sets how many handlers of durable queues run at a time in this process, over all queues; default
 * 2. If each handler uses one connection of a pool, queues take at most this many from requests.
 *
 * @throws InvalidOptionError unless it is a whole number of at least 1
 */
export function queueConcurrency(max: number): void {
  queueRegistry.slots.max = readCount('queueConcurrency', 'max', max, 1)
}
