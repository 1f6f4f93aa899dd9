import { monotonicNow } from '../../resilience/clock.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import { newBatch, QueueItem } from '../batch.ts'
import { KILLS_PROCESS } from '../crash-markers.ts'
import { HandlerRunner, isPermanent } from '../handler.ts'
import type { QueueEvents } from '../queue-events.ts'
import type { TransportedQueue } from '../queue-options.ts'
import type { QueueJobsReport } from '../queue-report.ts'
import { HandlerHealth } from '../queue-warnings.ts'
import { splitId } from '../spool/segment-format.ts'
import type { JobHelpers } from './graphile-module.ts'
import type { JobEnvironment } from './job-environment.ts'
import type { InterruptedJob } from './job-store.ts'

/** For one statement. */
const FORGET_TIMEOUT = '8s'

/** The task of graphile-worker that runs the jobs of one queue in this process. */
export class JobTask {
  /** The name of the task. */
  readonly name: string
  readonly #queue: TransportedQueue
  readonly #environment: Pick<JobEnvironment, 'forget'>
  readonly #health: HandlerHealth
  readonly #runner: HandlerRunner
  readonly #interrupted: InterruptedJob[] = []
  #lastBegan = 0
  #running = 0
  #done = 0

  constructor(queue: TransportedQueue, environment: Pick<JobEnvironment, 'forget'>) {
    const { name, handler, timeout } = queue
    this.name = `punctual:${name}`
    this.#queue = queue
    this.#environment = environment
    this.#health = new HandlerHealth(queue.events)
    this.#runner = new HandlerRunner(handler, { queue: name, timeout })
  }

  get events(): QueueEvents {
    return this.#queue.events
  }

  /**
   * Runs one job. When it rejects, graphile-worker retries the job; when it resolves, the job is
   * deleted.
   *
   * @param stop aborts the call, because the process shuts down
   */
  async run(payload: unknown, { job }: JobHelpers, stop: AbortSignal): Promise<void> {
    const { gate, slots, attempts } = this.#queue
    const item = readItem(payload)
    // Processes have died with it, or the last attempt could not be followed by a dead letter.
    if (job.attempts > attempts) {
      const error =
        job.last_error === null
          ? Object.assign(new Error(`it was started ${attempts} times and never finished`), { code: KILLS_PROCESS })
          : new Error(job.last_error)
      return this.#giveUp(item, attempts, error)
    }
    await gate.pass(this.#lastBegan)
    const release = await slots.take()
    this.#lastBegan = monotonicNow()
    this.#running++
    const failure = await this.#runner.call([item], job.attempts, stop).finally(() => {
      this.#running--
      release()
    })
    if (failure === null) {
      this.#done++
      this.#health.succeeded()
      return
    }
    // The shutdown is not the item's failure.
    if (stop.aborted) {
      this.#interrupted.push({ id: job.id, attempts: job.attempts - 1 })
      throw failure.error
    }
    const isLast = isPermanent(failure.error) || job.attempts >= attempts
    const batch = { ...newBatch([item]), failed: job.attempts }
    this.#health.failed(batch, failure.error, isLast ? 0 : retryDelay(job.attempts))
    if (!isLast) throw failure.error
    await this.#giveUp(item, job.attempts, failure.error)
  }

  /** The jobs that the shutdown has interrupted since the last call. */
  takeInterrupted(): readonly InterruptedJob[] {
    return this.#interrupted.splice(0)
  }

  report(): QueueJobsReport {
    const { failures, lastError } = this.#health
    return { running: this.#running, done: this.#done, failed: failures, lastError }
  }

  /**
   * Writes the dead letter first: a crash in between repeats it at worst. If either step fails, the
   * job is retried, and its error says why it was given up.
   */
  async #giveUp(item: QueueItem, attempts: number, error: unknown): Promise<void> {
    const batch = { ...newBatch([item]), failed: attempts }
    if (!(await this.#queue.deadLetters.deadLetter(batch, error))) throw error
    await withTimeout('forgetting a job', FORGET_TIMEOUT, () => this.#environment.forget(item.id), {
      parent: null,
    }).catch(() => {
      throw error
    })
  }
}

/** How long graphile-worker waits after a failed attempt, in milliseconds. */
function retryDelay(attempt: number): number {
  return Math.exp(Math.min(attempt, 10)) * 1_000
}

function readItem(payload: unknown): QueueItem {
  const { id, item } = (payload ?? {}) as { readonly id?: unknown; readonly item?: unknown }
  const json = JSON.stringify(item)
  if (typeof id !== 'string' || json === undefined) {
    throw new TypeError('this job was not added by durableQueue: it has no id, or no item')
  }
  return new QueueItem(splitId(id), json, Buffer.byteLength(json), monotonicNow())
}
