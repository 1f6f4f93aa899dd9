/** `punctual/queue`: durable queues. */

export { type DurableQueue, durableQueue, queueConcurrency } from './durable-queue.ts'
export { type GraphileWorkerOptions, graphileWorker } from './graphile/graphile-worker.ts'
export { PermanentError, type QueueContext, type QueueHandler } from './handler.ts'
export type { PushResult } from './queue.ts'
export type { QueueEvent, QueueEventType } from './queue-events.ts'
export type { Durability, DurableQueueOptions, OnFull, QueueTransport, Size } from './queue-options.ts'
export type { DropReason, QueueJobsReport, QueueReport, QueueState } from './queue-report.ts'
