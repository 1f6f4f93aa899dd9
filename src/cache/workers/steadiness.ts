import { type Cancel, every, monotonicNow } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import { afterReading } from './after-reading.ts'

/** Milliseconds. */
const LOOK_EVERY = ms(20)
/** A worker that has not read for longer may have missed what others took for heard. Must be less than they wait for it (`PEER_LIMIT`). */
export const STOOD_STILL = 400
/** Milliseconds, after which what was on its way has arrived. */
const SETTLES_AFTER = ms(30)

/**
 * Whether this worker has heard what it was told. Whoever invalidates waits for the other workers only so long; one that stood still meanwhile must not
 * answer from memory before it has read what lies in its pipes. It knows by itself that it stood still: its own clock says so.
 */
export class Steadiness {
  /** What had arrived by then has been read and carried out; the beginning of time while memory must not be relied upon. */
  readUntil: number = monotonicNow()
  #settled: Promise<void> | null = null
  #endSettling: () => void = () => {}
  readonly #stop: Cancel
  #isClosed = false

  constructor() {
    // Timers come before reading: that one has run says nothing of what lies in the pipes.
    this.#stop = every(LOOK_EVERY, () => setImmediate((until) => this.#read(until), monotonicNow()))
  }

  /** Resolves when memory may be relied upon again; null if it may now. */
  settled(): Promise<void> | null {
    if (this.#settled === null && monotonicNow() - this.readUntil >= STOOD_STILL) this.#settle()
    return this.#settled
  }

  close(): void {
    this.#isClosed = true
    this.#stop()
    this.#endSettling()
    this.readUntil = Number.POSITIVE_INFINITY
  }

  #read(until: number): void {
    if (this.#isClosed || this.#settled !== null) return
    if (until - this.readUntil < STOOD_STILL) this.readUntil = until
    else this.#settle()
  }

  #settle(): void {
    this.readUntil = Number.NEGATIVE_INFINITY
    this.#settled = new Promise((resolve) => {
      const end = (until: number): void => {
        this.#settled = null
        this.readUntil = until
        resolve()
      }
      const cancel = afterReading(SETTLES_AFTER, end)
      this.#endSettling = () => {
        cancel()
        end(Number.POSITIVE_INFINITY)
      }
    })
  }
}
