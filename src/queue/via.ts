import type { QueueJobsReport } from '../diagnostics/modules/defer-report.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { QueueContext, QueueHandler } from './call-handler.ts'
import type { QueueEvent } from './defer-events.ts'
import type { DeferredItem } from './deferred-item.ts'
import type { HandlerSlots } from './handler-slots.ts'
import type { LoopGate } from './loop-gate.ts'

/** Takes the items of queues elsewhere, so that their handlers may run on other machines too. `graphileWorker` makes one. */
export interface QueueTransport {
  /** Called once for each queue that goes this way, when it is defined. */
  open(queue: ViaQueue): ViaLink
}

/** A queue, as seen by what takes its items elsewhere. */
export interface ViaQueue {
  readonly name: string
  /** Carries the items out, wherever they come back. */
  readonly handler: QueueHandler<unknown>
  /** Of one call. */
  readonly limit: Milliseconds
  /** How often an item may fail before it goes to the dead letters. */
  readonly attempts: number
  readonly gate: LoopGate
  readonly slots: HandlerSlots
  readonly tell: (event: Omit<QueueEvent, 'queue'>) => void
  /** Puts an item that is given up with the dead letters of this machine; false if that could not be done. */
  bury(item: DeferredItem, attempts: number, error: unknown): Promise<boolean>
}

/** What a queue does with its items in place of calling its handler. */
export interface ViaLink {
  /** The process has loaded what it defers: handlers may be called. */
  start(): void
  /** Resolves when the items are safe elsewhere. One that comes twice must not be carried out twice. */
  forward(items: readonly unknown[], context: QueueContext): Promise<void>
  /** What handlers have carried out here. */
  report(): QueueJobsReport
  /** Calls no handler any more, gives those that run time to end, then gives them up. Never rejects. */
  stop(limit: Milliseconds): Promise<void>
  /** Lets go of what it has open, after `stop` and the last `forward`. Never rejects. */
  close(limit: Milliseconds): Promise<void>
}
