import { FULL_HEAP } from '../protocol/full-heap.ts'
import type { Pulse } from './pulse.ts'

/**
 * How full the main thread's heap is. The thread says so itself on every beat; while it stands still, what the process has grown by since
 * counts as heap, because a heap that fills up within one turn of the loop never gets to say it.
 */
export class HeapEstimate {
  readonly #pulse: Pulse
  #restingRss = 0
  #toldFull = false

  constructor(pulse: Pulse) {
    this.#pulse = pulse
  }

  /** In bytes. `rss` is that of the process now. */
  used(rss: number, isStill: boolean): number {
    if (!isStill) this.#restingRss = rss
    const growth = this.#restingRss === 0 ? 0 : Math.max(0, rss - this.#restingRss)
    return Math.min(this.#pulse.heapUsed + growth, this.#pulse.heapLimit)
  }

  /** Whether it has just become so full that it must be told at once: the process may abort any moment. */
  becameFull(isStill: boolean): boolean {
    const { heapLimit } = this.#pulse
    // Reading the process's size costs 10 microseconds; a thread that turns has said all there is to know.
    const used = isStill ? this.used(process.memoryUsage.rss(), true) : this.#pulse.heapUsed
    const isFull = heapLimit > 0 && used > FULL_HEAP * heapLimit
    const became = isFull && !this.#toldFull
    this.#toldFull = isFull
    return became
  }
}
