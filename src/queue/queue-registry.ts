import { workerChannel } from '../ipc/worker-channel.ts'
import { after, type Cancel, every } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { HandlerSlots, LoopGate } from './handler-capacity.ts'
import type { Queue } from './queue.ts'
import { QUEUE_TOPIC, type QueuesReport, queueMetrics } from './queue-report.ts'
import { thisOwner } from './spool/owner.ts'

const SECOND = ms(1_000)
/** Handlers at a time over all queues. */
const CONCURRENCY = 2
/** For delivering what is left when a process without an arbiter has nothing else to do. */
const EXIT_TIMEOUT = ms(5_000)
/** Share of the drain timeout for delivering; the rest is for handlers that were aborted. */
const DRAIN_SHARE = 0.9

/** All queues of this process, and their connection to the arbiter and the process's end. */
class QueueRegistry {
  readonly slots: HandlerSlots = new HandlerSlots(CONCURRENCY)
  readonly gate: LoopGate = new LoopGate()
  readonly #queues = new Map<string, Queue>()
  #stopTimer: Cancel | null = null
  #isConnected = false
  #isFlushing = false

  add(queue: Queue): void {
    this.#queues.set(queue.name, queue)
    this.#stopTimer ??= every(SECOND, () => {
      for (const one of this.#queues.values()) one.onSecond()
    })
    if (!this.#isConnected) {
      this.#isConnected = true
      this.#connect()
    }
    // Later: the module that creates the queue is still being loaded.
    after(ms(0), () => queue.start())
  }

  remove({ name }: Queue): void {
    this.#queues.delete(name)
    if (this.#queues.size > 0) return
    this.#stopTimer?.()
    this.#stopTimer = null
  }

  #report(): QueuesReport {
    return { queues: Object.fromEntries(Array.from(this.#queues, ([name, queue]) => [name, queue.report()])) }
  }

  #connect(): void {
    process.on('exit', () => {
      for (const queue of this.#queues.values()) queue.onExit()
    })
    const channel = workerChannel()
    if (channel === null) {
      process.on('beforeExit', () => this.#flushBeforeExit())
      return
    }
    channel.send(QUEUE_TOPIC, { type: 'owner', owner: thisOwner() })
    channel.subscribe(QUEUE_TOPIC, (message) => {
      if ((message as { readonly type?: unknown } | null)?.type !== 'adopt') return
      for (const queue of this.#queues.values()) queue.recoverOrphans()
    })
    channel.report(QUEUE_TOPIC, () => this.#report(), queueMetrics)
    channel.onDrain(
      'durable queues',
      async (timeout) => {
        await this.#each((queue) => queue.drain(ms(timeout * DRAIN_SHARE)))
      },
      () => Array.from(this.#queues.values(), (queue) => queue.unfinished()).filter((text) => text !== null),
    )
  }

  /** The process has nothing else to do. What cannot be delivered now stays on disk. */
  #flushBeforeExit(): void {
    const isDone = Array.from(this.#queues.values()).every((queue) => queue.isDone)
    if (this.#isFlushing || isDone) return
    this.#isFlushing = true
    void this.#each(async (queue) => {
      if (!(await queue.flush(EXIT_TIMEOUT))) await queue.drain(ms(0))
    }).then(() => {
      this.#isFlushing = false
    })
  }

  #each<T>(work: (queue: Queue) => Promise<T>): Promise<readonly T[]> {
    return Promise.all(Array.from(this.#queues.values(), work))
  }
}

export const queueRegistry: QueueRegistry = new QueueRegistry()
