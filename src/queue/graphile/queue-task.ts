import type { QueueJobsReport } from '../../diagnostics/modules/defer-report.ts'
import { monotonicNow } from '../../resilience/clock.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import { newBatch } from '../batch.ts'
import { callHandler } from '../call-handler.ts'
import { DeferredItem } from '../deferred-item.ts'
import { HandlerHealth } from '../handler-health.ts'
import { KILLS_PROCESS } from '../handling-marks.ts'
import { isPermanent } from '../permanent-error.ts'
import { splitId } from '../spool/segment-format.ts'
import type { ViaQueue } from '../via.ts'
import type { JobHelpers } from './graphile-shapes.ts'

/** For one statement. */
const FORGET_LIMIT = '8s'

/** The jobs of one queue, as this process carries them out. */
export class QueueTask {
  readonly queue: ViaQueue
  /** As graphile-worker calls it. */
  readonly name: string
  readonly #health: HandlerHealth
  readonly #forget: (id: string) => Promise<void>
  #lastBegan = 0
  #running = 0
  #done = 0

  /** @param forget called with the id of an item that went to the dead letters */
  constructor(queue: ViaQueue, forget: (id: string) => Promise<void>) {
    this.queue = queue
    this.name = `punctual:${queue.name}`
    this.#health = new HandlerHealth(queue.name, queue.tell)
    this.#forget = forget
  }

  /**
   * Carries out one job. When it rejects the job has failed, and graphile-worker tries it again; when it resolves the job is deleted.
   *
   * @param stop gives it up: the process leaves
   */
  async run(payload: unknown, { job }: JobHelpers, stop: AbortSignal): Promise<void> {
    const { gate, slots, handler, limit, attempts, name } = this.queue
    const item = readItem(payload)
    // Processes have died with it, or the last attempt could not be followed by a dead letter.
    if (job.attempts > attempts) {
      const error =
        job.last_error === null
          ? Object.assign(new Error(`it was begun ${attempts} times and never ended`), { code: KILLS_PROCESS })
          : new Error(job.last_error)
      return this.#giveUp(item, attempts, error)
    }
    await gate.pass(this.#lastBegan)
    const giveBack = await slots.take()
    this.#lastBegan = monotonicNow()
    this.#running++
    const failure = await callHandler(handler, [item], {
      queue: name,
      limit,
      attempt: job.attempts,
      stop,
      onZombie: () => {},
    }).finally(() => {
      this.#running--
      giveBack()
    })
    if (failure === null) {
      this.#done++
      this.#health.succeeded()
      return
    }
    // Then it is not the item's fault.
    if (stop.aborted) throw failure.error
    const last = isPermanent(failure.error) || job.attempts >= attempts
    const batch = { ...newBatch([item]), failed: job.attempts }
    this.#health.failed(batch, failure.error, last ? 0 : delayOf(job.attempts))
    if (!last) throw failure.error
    await this.#giveUp(item, job.attempts, failure.error)
  }

  report(): QueueJobsReport {
    const { failures, lastError } = this.#health
    return { running: this.#running, done: this.#done, failed: failures, lastError }
  }

  /** Dead letter first: whatever dies in between leaves it there twice at worst. If either fails the job comes again, and knows why it is given up. */
  async #giveUp(item: DeferredItem, attempts: number, error: unknown): Promise<void> {
    if (!(await this.queue.bury(item, attempts, error))) throw error
    await withTimeout('forgetting a job', FORGET_LIMIT, () => this.#forget(item.id), { parent: null }).catch(() => {
      throw error
    })
  }
}

/** How long graphile-worker waits after an attempt that failed, in milliseconds. */
function delayOf(attempt: number): number {
  return Math.exp(Math.min(attempt, 10)) * 1_000
}

function readItem(payload: unknown): DeferredItem {
  const { id, item } = (payload ?? {}) as { readonly id?: unknown; readonly item?: unknown }
  const json = JSON.stringify(item)
  if (typeof id !== 'string' || json === undefined) {
    throw new TypeError('this job was not made by defer: it has no id, or no item')
  }
  return new DeferredItem(splitId(id), json, Buffer.byteLength(json), monotonicNow())
}
