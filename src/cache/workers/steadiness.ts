import { after, type Cancel, every, monotonicNow } from '../../wait/clock.ts'
import { ms } from '../../wait/duration.ts'

/** Milliseconds. */
const LOOK_EVERY = ms(20)
/** A loop that stood still for longer may have missed what others took for heard. Must be less than they wait for it (`ACK_LIMIT`). */
export const STOOD_STILL = 200
/** Milliseconds, after which what was on its way has arrived. */
const SETTLES_AFTER = ms(30)
const JOINS_AFTER = ms(100)

/**
 * Whether this worker has heard what it was told. Whoever invalidates waits for the other workers only so long; one that stood still meanwhile must not
 * answer from memory before it has read what lies in its pipes. It knows by itself that it stood still: its own clock says so.
 */
export class Steadiness {
  /** When the loop was last seen turning; the beginning of time while it must not be relied upon. */
  turnedAt: number = Number.NEGATIVE_INFINITY
  #settled: Promise<void> | null = null
  #cancelSettling: Cancel = () => {}
  readonly #stop: Cancel

  constructor() {
    this.#settle(JOINS_AFTER)
    this.#stop = every(LOOK_EVERY, () => {
      if (this.#settled === null) this.#look()
    })
  }

  /** Resolves when memory may be relied upon again; null if it may now. */
  settled(): Promise<void> | null {
    if (this.#settled === null) this.#look()
    return this.#settled
  }

  close(): void {
    this.#stop()
    this.#cancelSettling()
    this.turnedAt = Number.POSITIVE_INFINITY
  }

  #look(): void {
    const now = monotonicNow()
    if (now - this.turnedAt < STOOD_STILL) this.turnedAt = now
    else this.#settle(SETTLES_AFTER)
  }

  #settle(length: ReturnType<typeof ms>): void {
    this.turnedAt = Number.NEGATIVE_INFINITY
    this.#settled = new Promise((resolve) => {
      this.#cancelSettling = after(
        length,
        () => {
          // One turn more, for what arrived while the timer was late.
          this.#cancelSettling = after(ms(0), () => {
            this.#settled = null
            this.turnedAt = monotonicNow()
            resolve()
          })
        },
        { keepAlive: true },
      )
    })
  }
}
