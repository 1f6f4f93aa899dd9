/**
 * The part of a stretch of time for which the event loop must have been at work, to be called fully
 * used.
 */
const FULL = 0.9

/**
 * How busy the event loop has been since a given moment, not since the start of the process: a
 * worker that was idle all night must be known to be full within a second.
 */
export class Utilisation {
  #since = performance.eventLoopUtilization()

  /** From now on. */
  begin(): void {
    this.#since = performance.eventLoopUtilization()
  }

  /** 0 to 1: the part of the time since then in which it did not wait for events. */
  get value(): number {
    return performance.eventLoopUtilization(this.#since).utilization
  }

  get isFull(): boolean {
    return this.value >= FULL
  }
}
