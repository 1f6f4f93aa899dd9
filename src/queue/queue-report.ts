import type { ModuleMetric } from '../diagnostics/metric-definition.ts'

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

type Metric = ModuleMetric<QueuesReport>

/** Milliseconds in a second, the unit of Prometheus. */
const SECONDS = 1_000

const perQueue =
  (figure: (queue: QueueReport) => number): Metric['values'] =>
  ({ queues }) =>
    Object.entries(queues).map(([queue, report]) => ({ labels: { queue }, value: figure(report) }))

const QUEUE = ['queue']

/** The metrics of the queues of a worker. */
export const queueMetrics: readonly Metric[] = [
  {
    name: 'punctual_queue_items',
    help: 'Unfinished items of durable queues.',
    type: 'gauge',
    labels: QUEUE,
    values: perQueue(({ depth }) => depth),
  },
  {
    name: 'punctual_queue_bytes',
    help: 'Size of unfinished items as JSON.',
    type: 'gauge',
    labels: QUEUE,
    values: perQueue(({ bytes }) => bytes),
  },
  {
    name: 'punctual_queue_oldest_age_seconds',
    help: 'How long the oldest item has waited; 0 when there is none.',
    type: 'gauge',
    labels: QUEUE,
    values: perQueue(({ oldestAgeMs }) => (oldestAgeMs ?? 0) / SECONDS),
  },
  {
    name: 'punctual_queue_in_memory_items',
    help: 'Items that are in memory only, because the disk did not take them.',
    type: 'gauge',
    labels: QUEUE,
    values: perQueue(({ inMemory }) => inMemory),
  },
  {
    name: 'punctual_queue_degraded',
    help: '1 while the disk takes no items, otherwise 0.',
    type: 'gauge',
    labels: QUEUE,
    values: perQueue(({ degraded }) => (degraded === null ? 0 : 1)),
  },
  {
    name: 'punctual_queue_handler_running_seconds',
    help: 'How long the longest running call of the handler has taken so far; 0 when none is running.',
    type: 'gauge',
    labels: QUEUE,
    values: perQueue(({ inHandler }) => (inHandler?.forMs ?? 0) / SECONDS),
  },
  {
    name: 'punctual_queue_abandoned_calls',
    help: 'Calls of the handler that timed out and are still running.',
    type: 'gauge',
    labels: QUEUE,
    values: perQueue(({ abandonedCalls }) => abandonedCalls),
  },
  {
    name: 'punctual_queue_accepted_total',
    help: 'Items that were accepted.',
    type: 'counter',
    labels: QUEUE,
    values: perQueue(({ accepted }) => accepted),
  },
  {
    name: 'punctual_queue_adopted_total',
    help: 'Items taken over from processes that exited, and retried dead letters.',
    type: 'counter',
    labels: QUEUE,
    values: perQueue(({ adopted }) => adopted),
  },
  {
    name: 'punctual_queue_delivered_total',
    help: 'Items whose handler succeeded.',
    type: 'counter',
    labels: QUEUE,
    values: perQueue(({ delivered }) => delivered),
  },
  {
    name: 'punctual_queue_batches_total',
    help: 'Calls of the handler, by outcome: ok or failed.',
    type: 'counter',
    labels: ['queue', 'outcome'],
    values: ({ queues }) =>
      Object.entries(queues).flatMap(([queue, { batches, failures }]) => [
        { labels: { queue, outcome: 'ok' }, value: batches },
        { labels: { queue, outcome: 'failed' }, value: failures },
      ]),
  },
  {
    name: 'punctual_queue_retries_total',
    help: 'Calls of the handler with items that had failed before.',
    type: 'counter',
    labels: QUEUE,
    values: perQueue(({ retries }) => retries),
  },
  {
    name: 'punctual_queue_dropped_total',
    help: 'Items that were not kept, by reason: full, oldest, rejected, too-large, not-serializable, closed, lost, dead-letters-full.',
    type: 'counter',
    labels: ['queue', 'reason'],
    values: ({ queues }) =>
      Object.entries(queues).flatMap(([queue, { drops }]) =>
        Object.entries(drops).map(([reason, value]) => ({ labels: { queue, reason }, value })),
      ),
  },
  {
    name: 'punctual_queue_dead_letters_total',
    help: 'Items that became dead letters.',
    type: 'counter',
    labels: QUEUE,
    values: perQueue(({ deadLetters }) => deadLetters),
  },
  {
    name: 'punctual_queue_jobs_total',
    help: 'Jobs that this worker has run for queues with a transport, by outcome: ok, failed.',
    type: 'counter',
    labels: ['queue', 'outcome'],
    values: ({ queues }) =>
      Object.entries(queues).flatMap(([queue, { jobs }]) =>
        jobs === null
          ? []
          : [
              { labels: { queue, outcome: 'ok' }, value: jobs.done },
              { labels: { queue, outcome: 'failed' }, value: jobs.failed },
            ],
      ),
  },
]
