import type { Milliseconds } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'

/** A worker's reply: `exited` if it exited first, `timed-out` if it did not reply in time. */
export type Reply =
  | 'exited'
  | 'timed-out'
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly why: string }

interface PendingRequest {
  readonly replies: Map<number, Reply>
  readonly waitingFor: Set<number>
  readonly resolve: (replies: ReadonlyMap<number, Reply>) => void
}

/** Requests to workers whose replies are pending, each with a timeout. */
export class PendingRequests {
  readonly #pending = new Map<number, PendingRequest>()
  #lastId = 0

  /**
   * Sends a request to some workers. Resolves when each has replied or exited, or at the timeout.
   * Never rejects.
   *
   * @param send sends the request to one of them, with the id that the reply must carry
   */
  send(
    workers: readonly number[],
    timeout: Milliseconds,
    send: (worker: number, id: number) => void,
  ): Promise<ReadonlyMap<number, Reply>> {
    const id = ++this.#lastId
    const replies = new Map<number, Reply>(workers.map((worker) => [worker, 'timed-out']))
    if (workers.length === 0) return Promise.resolve(replies)
    const onTimeout = (): ReadonlyMap<number, Reply> => {
      this.#pending.delete(id)
      return replies
    }
    return promiseAtMost(
      timeout,
      (resolve: (replies: ReadonlyMap<number, Reply>) => void) => {
        this.#pending.set(id, { replies, waitingFor: new Set(workers), resolve })
        for (const worker of workers) send(worker, id)
      },
      onTimeout,
    )
  }

  resolve(worker: number, id: number, reply: Reply): void {
    const request = this.#pending.get(id)
    // A second reply comes from another copy of the package in the same worker.
    if (request === undefined || !request.waitingFor.delete(worker)) return
    request.replies.set(worker, reply)
    if (request.waitingFor.size > 0) return
    this.#pending.delete(id)
    request.resolve(request.replies)
  }

  removeWorker(worker: number): void {
    for (const id of [...this.#pending.keys()]) this.resolve(worker, id, 'exited')
  }
}
