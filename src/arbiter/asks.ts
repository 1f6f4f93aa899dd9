import { after } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'

/** What a worker said to an ask; `left` when its process went before it did, `silent` when the limit passed. */
export type Reply =
  | 'left'
  | 'silent'
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly why: string }

interface Ask {
  readonly replies: Map<number, Reply>
  readonly waiting: Set<number>
  readonly end: () => void
}

/** Questions to workers, each with a limit: an answer that never comes holds nobody up. */
export class Asks {
  readonly #open = new Map<number, Ask>()
  #last = 0

  /**
   * Asks some workers; resolves when each has answered or left, or when the limit has passed. Never rejects.
   *
   * @param ask says it to one of them, with the number it is to be answered with
   */
  ask(
    workers: readonly number[],
    limit: Milliseconds,
    ask: (worker: number, id: number) => void,
  ): Promise<ReadonlyMap<number, Reply>> {
    const id = ++this.#last
    const replies = new Map<number, Reply>(workers.map((worker) => [worker, 'silent']))
    if (workers.length === 0) return Promise.resolve(replies)
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        this.#open.delete(id)
        resolve(replies)
      }
      const cancel = after(limit, end)
      this.#open.set(id, { replies, waiting: new Set(workers), end })
      for (const worker of workers) ask(worker, id)
    })
  }

  answered(worker: number, id: number, reply: Reply): void {
    const ask = this.#open.get(id)
    // A second answer is that of another copy of the package in the same worker.
    if (ask === undefined || !ask.waiting.delete(worker)) return
    ask.replies.set(worker, reply)
    if (ask.waiting.size === 0) ask.end()
  }

  left(worker: number): void {
    for (const id of [...this.#open.keys()]) this.answered(worker, id, 'left')
  }
}
