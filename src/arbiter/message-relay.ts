import type { ReportedMetric } from '../diagnostics/metric-definition.ts'
import type { ReportedMetrics } from '../diagnostics/metrics.ts'
import type { FromMain, FromWatchdog, ToWorker } from '../ipc/messages.ts'
import { NORMALIZED_SQL, redactAll } from '../redaction/redaction.ts'

type TopicListener = (worker: number, message: unknown) => void

/**
 * Relays the messages of the toolkit's modules between workers, keeps the latest report of each,
 * and passes messages for the arbiter to the listener of their topic. It makes no decision about
 * workers.
 */
export class MessageRelay {
  readonly #workers = new Map<number, (message: ToWorker) => void>()
  readonly #reports = new Map<number, Readonly<Record<string, unknown>>>()
  readonly #metrics = new Map<number, readonly ReportedMetric[]>()
  readonly #topicListeners = new Map<string, TopicListener>()
  readonly #removalListeners = new Set<(worker: number) => void>()

  /** The workers whose process runs. */
  get workers(): readonly number[] {
    return [...this.#workers.keys()]
  }

  /** Adds a worker that was started. */
  addWorker(worker: number, send: (message: ToWorker) => void): void {
    this.#workers.set(worker, send)
  }

  /** Removes a worker whose process has exited. */
  removeWorker(worker: number): void {
    this.#workers.delete(worker)
    this.#reports.delete(worker)
    this.#metrics.delete(worker)
    for (const listener of this.#removalListeners) listener(worker)
  }

  /** Handles a message of a module; returns false for any other message. */
  handle(worker: number, message: FromMain | FromWatchdog): boolean {
    if (message.type === 'modules') {
      if (this.#workers.has(worker)) {
        this.#reports.set(worker, redactAll(message.modules, NORMALIZED_SQL))
        this.#metrics.set(worker, redactAll(message.metrics))
      }
      return true
    }
    if (message.type !== 'relay') return false
    // Late messages of an exited worker, such as invalidations, still matter to the others. The
    // arbiter must not keep state for it.
    if (message.to === 'others') this.broadcast(message.topic, message.message, worker)
    else if (this.#workers.has(worker)) this.#topicListeners.get(message.topic)?.(worker, message.message)
    return true
  }

  /** The latest report of each module in a worker, by topic. */
  reportsOf(worker: number): Readonly<Record<string, unknown>> {
    return this.#reports.get(worker) ?? {}
  }

  /** The latest metrics of each worker. */
  get metrics(): ReportedMetrics {
    return this.#metrics
  }

  /** Sets the listener of a topic; it replaces an earlier one. */
  onTopic(topic: string, listener: TopicListener): void {
    this.#topicListeners.set(topic, listener)
  }

  onWorkerRemoved(listener: (worker: number) => void): void {
    this.#removalListeners.add(listener)
  }

  send(worker: number, message: ToWorker): void {
    this.#workers.get(worker)?.(message)
  }

  sendToTopic(worker: number, topic: string, message: unknown): void {
    this.send(worker, { type: 'relay', topic, message })
  }

  broadcast(topic: string, message: unknown, except = -1): void {
    for (const worker of this.#workers.keys()) if (worker !== except) this.sendToTopic(worker, topic, message)
  }
}

/** What a worker sends once it has a durable queue. */
interface OwnerMessage {
  readonly type: 'owner'
  readonly owner: string
}

/**
 * Reassigns the queued items of a worker that exits to a living one, which then looks for them. The
 * newest is chosen because it is the least likely to exit soon. Without one nothing is lost: every
 * worker looks for orphaned items when it starts.
 */
export function reassignOrphans(relay: MessageRelay): void {
  const owners = new Map<number, string>()
  relay.onTopic('queue', (worker, message) => owners.set(worker, (message as OwnerMessage).owner))
  relay.onWorkerRemoved((worker) => {
    const owner = owners.get(worker)
    owners.delete(worker)
    const heir = Math.max(...owners.keys())
    if (owner !== undefined && owners.size > 0) relay.sendToTopic(heir, 'queue', { type: 'adopt', owner })
  })
}
