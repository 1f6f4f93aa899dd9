import type { FromMain, FromWatchdog } from '../ipc/messages.ts'

type Say = (topic: string, message: unknown) => void
type TopicListener = (worker: number, message: unknown) => void

/**
 * Where the lines of all workers meet. It relays what a room of the toolkit says to the same room in other workers, keeps what each
 * reports of itself, and hands what is meant for the arbiter to whoever listens to its topic. Nothing here decides about a worker's life.
 */
export class Exchange {
  readonly #workers = new Map<number, Say>()
  readonly #reports = new Map<number, Readonly<Record<string, unknown>>>()
  readonly #listeners = new Map<string, TopicListener>()
  readonly #onLeft = new Set<(worker: number) => void>()

  /** A worker has been started; `say` reaches it. */
  joined(worker: number, say: Say): void {
    this.#workers.set(worker, say)
  }

  /** Its process is gone. */
  left(worker: number): void {
    this.#workers.delete(worker)
    this.#reports.delete(worker)
    for (const listener of this.#onLeft) listener(worker)
  }

  /** Takes what belongs to the line; false for anything else a worker has said. */
  told(worker: number, message: FromMain | FromWatchdog): boolean {
    if (message.type === 'modules') {
      if (this.#workers.has(worker)) this.#reports.set(worker, message.modules)
      return true
    }
    if (message.type !== 'relay') return false
    // Others hear also what has come late, such as which of their values are stale; nobody here must keep anything for a worker that is gone.
    if (message.to === 'others') this.sayAll(message.topic, message.message, worker)
    else if (this.#workers.has(worker)) this.#listeners.get(message.topic)?.(worker, message.message)
    return true
  }

  reportsOf(worker: number): Readonly<Record<string, unknown>> {
    return this.#reports.get(worker) ?? {}
  }

  /** The one listener of a topic; a later one takes its place. */
  listen(topic: string, listener: TopicListener): void {
    this.#listeners.set(topic, listener)
  }

  /** Called after a worker's process has gone. */
  onLeft(listener: (worker: number) => void): void {
    this.#onLeft.add(listener)
  }

  say(worker: number, topic: string, message: unknown): void {
    this.#workers.get(worker)?.(topic, message)
  }

  sayAll(topic: string, message: unknown, except = -1): void {
    for (const [worker, say] of this.#workers) if (worker !== except) say(topic, message)
  }
}
