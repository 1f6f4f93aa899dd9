import { type Milliseconds, UNBOUNDED } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import type { TransactionStatus } from './pg-types.ts'

/** What the last protocol message of a session says, and waiting for the next ReadyForQuery. */
export class ServerStatus {
  /** Whether the server waits for a query. */
  isReady: boolean
  /** The connection has ended, so the server is never ready again. */
  isLost = false
  transaction: TransactionStatus = 'I'
  #waiting: (() => void)[] = []

  constructor(isReady: boolean) {
    this.isReady = isReady
  }

  /** The server has sent ReadyForQuery. */
  becomeReady(transaction: TransactionStatus): void {
    this.isReady = true
    this.transaction = transaction
    this.#wake()
  }

  becomeLost(): void {
    this.isLost = true
    this.#wake()
  }

  /** Resolves when the server is ready or the connection is lost, or after the timeout. */
  async whenReady(timeout: Milliseconds = UNBOUNDED): Promise<void> {
    if (this.isReady || this.isLost) return
    await promiseAtMost<void>(timeout, (resolve) => this.#waiting.push(() => resolve()))
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}
