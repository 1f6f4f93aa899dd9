import { after, afterIo, type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'

/** Milliseconds. */
const CHECK_INTERVAL = ms(20)
/**
 * Milliseconds. A worker that has read nothing for longer may have missed what other workers assume
 * it received. Less than they wait for it (`PEER_TIMEOUT`).
 */
export const STALL_THRESHOLD = 400
/** Milliseconds until everything that was sent during a stall has arrived. */
const CATCH_UP_TIME = ms(30)

/**
 * Tells whether this worker has received the invalidations that were sent to it.
 *
 * A worker that invalidates waits only so long for the others. One that was stalled in the meantime
 * must read what is pending in its pipes before it answers from memory. It detects the stall with
 * its own clock.
 */
export class StallGuard {
  /**
   * Everything that arrived before this instant has been processed; -Infinity while it catches up.
   */
  caughtUpTo: number = monotonicNow()
  #catchUp: Promise<void> | null = null
  #endCatchUp: () => void = () => {}
  readonly #stop: Cancel
  #isClosed = false

  constructor() {
    // Timers run before I/O is read, so a timer that ran does not prove that the pipes were read.
    this.#stop = every(CHECK_INTERVAL, () => {
      const until = monotonicNow()
      afterIo(() => this.#onRead(until))
    })
  }

  /** Resolves when memory may be used again; null if it may now. */
  catchUp(): Promise<void> | null {
    if (this.#catchUp === null && monotonicNow() - this.caughtUpTo >= STALL_THRESHOLD) this.#startCatchUp()
    return this.#catchUp
  }

  close(): void {
    this.#isClosed = true
    this.#stop()
    this.#endCatchUp()
    this.caughtUpTo = Number.POSITIVE_INFINITY
  }

  #onRead(until: number): void {
    if (this.#isClosed || this.#catchUp !== null) return
    if (until - this.caughtUpTo < STALL_THRESHOLD) this.caughtUpTo = until
    else this.#startCatchUp()
  }

  #startCatchUp(): void {
    this.caughtUpTo = Number.NEGATIVE_INFINITY
    this.#catchUp = new Promise((resolve) => {
      const end = (until: number): void => {
        this.#catchUp = null
        this.caughtUpTo = until
        resolve()
      }
      const cancel = afterReading(CATCH_UP_TIME, end)
      this.#endCatchUp = () => {
        cancel()
        end(Number.POSITIVE_INFINITY)
      }
    })
  }
}

/**
 * Calls `run` when `length` has passed and the event loop has read its I/O after that. Timers alone
 * may run late, several in a row, with nothing read in between.
 *
 * @param run receives the instant until which everything that arrived has been read
 */
export function afterReading(length: Milliseconds, run: (until: number) => void): Cancel {
  let cancel = after(length, () => {
    const until = monotonicNow()
    cancel = afterIo(() => run(until))
  })
  return () => cancel()
}
