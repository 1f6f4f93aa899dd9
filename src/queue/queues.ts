import { DEFER_TOPIC, type DeferReport } from '../diagnostics/modules/defer-report.ts'
import { workerChannel } from '../ipc/worker-channel.ts'
import { after, type Cancel, every } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import type { Queue } from './defer-queue.ts'
import { HandlerSlots } from './handler-slots.ts'
import { LoopGate } from './loop-gate.ts'
import { thisOwner } from './spool/owner.ts'

const KEEP_UP_EVERY = ms(1_000)
/** Handlers at a time over all queues. */
const CONCURRENCY = 2
/** For what is left when a process without an arbiter has nothing else to do. */
const EXIT_LIMIT = ms(5_000)
/** Of the time a worker has to leave; the rest is for what was given up to end. */
const DRAIN_SHARE = 0.9

/** All queues of this process, and what they share. */
class Queues {
  readonly slots: HandlerSlots = new HandlerSlots(CONCURRENCY)
  readonly gate: LoopGate = new LoopGate()
  readonly #queues = new Map<string, Queue>()
  #stopKeepingUp: Cancel | null = null
  #isTold = false
  #flushing = false

  add(queue: Queue): void {
    const { name } = queue.settings
    this.#queues.set(name, queue)
    this.#stopKeepingUp ??= every(KEEP_UP_EVERY, () => {
      for (const one of this.#queues.values()) one.keepUp()
    })
    if (!this.#isTold) {
      this.#isTold = true
      this.#introduce()
    }
    // Not now: the module that defers is still being loaded, and may want to go on.
    after(ms(0), () => queue.start())
  }

  remove(name: string): void {
    this.#queues.delete(name)
    if (this.#queues.size > 0) return
    this.#stopKeepingUp?.()
    this.#stopKeepingUp = null
  }

  report(): DeferReport {
    return { queues: Object.fromEntries(Array.from(this.#queues, ([name, queue]) => [name, queue.report()])) }
  }

  #introduce(): void {
    process.on('exit', () => {
      for (const queue of this.#queues.values()) queue.exit()
    })
    const line = workerChannel()
    if (line === null) {
      process.on('beforeExit', () => this.#flushAtExit())
      return
    }
    line.send(DEFER_TOPIC, { type: 'owner', owner: thisOwner() })
    line.subscribe(DEFER_TOPIC, (message) => {
      if ((message as { readonly type?: unknown } | null)?.type !== 'adopt') return
      for (const queue of this.#queues.values()) queue.adopt()
    })
    line.report(DEFER_TOPIC, () => this.report())
    line.onDrain('deferred work', async (limit) => {
      await this.#each((queue) => queue.drain(ms(limit * DRAIN_SHARE)))
    })
  }

  /** The process has nothing else to do. What cannot be delivered now stays on disk. */
  #flushAtExit(): void {
    const left = Array.from(this.#queues.values()).some((queue) => !queue.isDone)
    if (this.#flushing || !left) return
    this.#flushing = true
    void this.#each(async (queue) => {
      if (!(await queue.flush(EXIT_LIMIT))) await queue.drain(ms(0))
    }).then(() => {
      this.#flushing = false
    })
  }

  #each<T>(work: (queue: Queue) => Promise<T>): Promise<readonly T[]> {
    return Promise.all(Array.from(this.#queues.values(), work))
  }
}

export const queues: Queues = new Queues()

const NAMES = Symbol.for('punctual.deferred')
type Holder = { [NAMES]?: Set<string> }

/**
 * Takes the name of a queue in this process; an app may have two copies of this package, and they would write to the same directory.
 *
 * @returns false if it is taken
 */
export function takeName(name: string): boolean {
  const holder = globalThis as Holder
  holder[NAMES] ??= new Set()
  if (holder[NAMES].has(name)) return false
  holder[NAMES].add(name)
  return true
}

export function giveNameBack(name: string): void {
  ;(globalThis as Holder)[NAMES]?.delete(name)
}
