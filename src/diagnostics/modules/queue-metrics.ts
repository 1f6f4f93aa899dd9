import type { ModuleMetric } from '../metric-definition.ts'
import type { QueueReport, QueuesReport } from './queue-report.ts'

type Metric = ModuleMetric<QueuesReport>

/** Milliseconds in a second, the unit of Prometheus. */
const SECONDS = 1_000

const perQueue =
  (figure: (queue: QueueReport) => number): Metric['values'] =>
  ({ queues }) =>
    Object.entries(queues).map(([queue, report]) => ({ labels: { queue }, value: figure(report) }))

const QUEUE = ['queue']

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
