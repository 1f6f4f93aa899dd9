import { performance } from 'node:perf_hooks'
import { after, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'

/** From this utilisation on the loop is busy, and deferred work stands back. */
const BUSY = 0.9
/** Milliseconds over which it is measured. */
const WINDOW = 200
/** Milliseconds for which nothing is delivered, to see how busy the loop is without us. */
const PROBE = ms(20)
/** Milliseconds for which the answer holds. */
const CLEAR_FOR = 500
/** However busy the loop is, a queue delivers a batch in so many milliseconds. */
const AT_LEAST_EVERY = 1_000

/**
 * Keeps deferred work below requests: while the event loop is busy with something else it waits, but never for ever. How busy the loop is
 * with something else cannot be seen while we deliver, since that keeps it busy too. So when it is busy nothing is delivered for a moment,
 * and that moment is measured.
 */
export class LoopGate {
  #since = performance.eventLoopUtilization()
  #sinceAt: number = monotonicNow()
  #busy = false
  #clearUntil = 0
  #probe: Promise<boolean> | null = null

  /**
   * Resolves when a batch may be delivered.
   *
   * @param lastAt when this queue delivered last, in milliseconds of the monotonic clock
   */
  async pass(lastAt: number): Promise<void> {
    for (;;) {
      const now = monotonicNow()
      if (!this.#isBusy(now) || now - lastAt >= AT_LEAST_EVERY) return
      this.#probe ??= this.#look()
      if (await this.#probe) return
    }
  }

  #isBusy(now: number): boolean {
    if (now - this.#sinceAt >= WINDOW) {
      const usage = performance.eventLoopUtilization()
      this.#busy = performance.eventLoopUtilization(usage, this.#since).utilization >= BUSY
      this.#since = usage
      this.#sinceAt = now
    }
    return this.#busy && now >= this.#clearUntil
  }

  /** Whether the loop has time. One look serves all queues, which all wait for it. */
  async #look(): Promise<boolean> {
    const before = performance.eventLoopUtilization()
    await new Promise<void>((resolve) => {
      after(PROBE, resolve, { keepAlive: false })
    })
    const clear = performance.eventLoopUtilization(before).utilization < BUSY
    if (clear) this.#clearUntil = monotonicNow() + CLEAR_FOR
    this.#probe = null
    return clear
  }
}
