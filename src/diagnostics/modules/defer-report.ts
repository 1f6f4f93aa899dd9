/** Under which deferred work reports, and speaks over the worker's line. */
export const DEFER_TOPIC = 'defer'

/**
 * Why an item was not kept. `full`: the queue was full. `oldest`: it was the oldest of a full queue. `rejected`: the queue was full, and its caller was told.
 * `too-large`: larger than the whole queue may be. `unserialisable`: no JSON can be made of it. `closed`: the queue was closed. `lost`: in memory alone when the process
 * left. `dead-letters-full`: files of dead letters that went for newer ones.
 */
export type DropReason =
  | 'full'
  | 'oldest'
  | 'rejected'
  | 'too-large'
  | 'unserialisable'
  | 'closed'
  | 'lost'
  | 'dead-letters-full'

/**
 * What the writer of a queue does. `starting`: it looks for what an earlier process has left. `backing-off`: the handler has failed, and it waits. `stopped`: the
 * process leaves; what is left stays on disk.
 */
export type QueueState = 'starting' | 'idle' | 'gathering' | 'delivering' | 'backing-off' | 'stopped'

/** One queue of one process. Counters are since its start. */
export interface QueueReport {
  readonly state: QueueState
  /** Items that wait or are in work, adopted ones included. */
  readonly depth: number
  /** Their JSON. */
  readonly bytes: number
  /** Milliseconds that the oldest has waited; null when there is none. */
  readonly oldestAgeMs: number | null
  /** Whether that is above `warnAge`. */
  readonly late: boolean
  /** Of the depth: in memory alone, because the disk did not take them. */
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
  /** Items that went to the dead letters. */
  readonly deadLetters: number
  /** Items taken over from processes that are gone, and retried dead letters. */
  readonly adopted: number
  /** Why items are kept in memory alone; null while they are not. */
  readonly degraded: string | null
  /** The longest call of the handler that runs; null when none does. */
  readonly inHandler: { readonly forMs: number; readonly items: number; readonly attempt: number } | null
  /** Calls that ran out and go on. */
  readonly zombies: number
  /** What this process has carried out of a queue that goes by way of graphile-worker, whoever deferred it; null for one that does not. */
  readonly jobs: QueueJobsReport | null
  /** ISO time; null before the first. */
  readonly lastDeliveredAt: string | null
  /** What the handler said last; null when it has succeeded since. */
  readonly lastError: string | null
}

export interface QueueJobsReport {
  readonly running: number
  readonly done: number
  readonly failed: number
  /** What the handler said last; null when it has succeeded since. */
  readonly lastError: string | null
}

/** What the deferred work of one worker reports. */
export interface DeferReport {
  readonly queues: Readonly<Record<string, QueueReport>>
}
