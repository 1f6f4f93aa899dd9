/** The topic under which durable queues report, and exchange messages with the arbiter. */
export const QUEUE_TOPIC = 'queue'

/**
 * Why an item was not kept.
 *
 * - `full`: the queue was full.
 * - `oldest`: it was the oldest item of a full queue.
 * - `rejected`: the queue was full, and `push` returned `'rejected'`.
 * - `too-large`: it is larger than `maxBytes`.
 * - `not-serializable`: it is not JSON-serializable.
 * - `closed`: the queue was closed.
 * - `lost`: it was in memory only when the process exited.
 * - `dead-letters-full`: a dead letter that was deleted for newer ones.
 */
export type DropReason =
  | 'full'
  | 'oldest'
  | 'rejected'
  | 'too-large'
  | 'not-serializable'
  | 'closed'
  | 'lost'
  | 'dead-letters-full'

/**
 * What a queue is doing.
 *
 * - `starting`: the module that created it is still loading.
 * - `idle`: it has no items.
 * - `gathering`: a batch is waiting for more items.
 * - `delivering`: the handler is running.
 * - `backing-off`: the handler has failed, and the retry waits.
 * - `stopped`: the process is shutting down; the remaining items stay on disk.
 */
export type QueueState = 'starting' | 'idle' | 'gathering' | 'delivering' | 'backing-off' | 'stopped'

/** The report of one queue of one process. Counters start with the process. */
export interface QueueReport {
  readonly state: QueueState
  /** Unfinished items, adopted ones included. */
  readonly depth: number
  /** Size of their JSON. */
  readonly bytes: number
  /** How long the oldest item has waited; null when there is none. */
  readonly oldestAgeMs: number | null
  /** Whether that is longer than `warnAge`. */
  readonly late: boolean
  /** Items that are in memory only, because the disk did not take them. */
  readonly inMemory: number
  readonly accepted: number
  readonly delivered: number
  /** Calls of the handler that succeeded. */
  readonly batches: number
  /** Calls of the handler that failed. */
  readonly failures: number
  /** Calls with items that had failed before. */
  readonly retries: number
  readonly drops: Readonly<Partial<Record<DropReason, number>>>
  /** Items that became dead letters. */
  readonly deadLetters: number
  /** Items taken over from processes that exited, and retried dead letters. */
  readonly adopted: number
  /** Why items are kept in memory only; null while they are not. */
  readonly degraded: string | null
  /** The longest running call of the handler; null when none is running. */
  readonly inHandler: { readonly forMs: number; readonly items: number; readonly attempt: number } | null
  /** Calls that timed out and are still running. */
  readonly abandonedCalls: number
  /** The jobs that this process has run; null for a queue without a transport. */
  readonly jobs: QueueJobsReport | null
  /** ISO time; null before the first. */
  readonly lastDeliveredAt: string | null
  /** The last error of the handler; null when it has succeeded since. */
  readonly lastError: string | null
}

export interface QueueJobsReport {
  readonly running: number
  readonly done: number
  readonly failed: number
  /** The last error of the handler; null when it has succeeded since. */
  readonly lastError: string | null
}

/** The report of all queues of a worker. */
export interface QueuesReport {
  readonly queues: Readonly<Record<string, QueueReport>>
}
