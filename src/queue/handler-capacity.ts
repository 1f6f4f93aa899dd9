import { performance } from 'node:perf_hooks'
import { monotonicNow, pause } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'

/**
 * Limits how many handlers run at a time in this process, over all queues, and with that how many
 * connections of a pool queues may take from requests. First come, first served.
 */
export class HandlerSlots {
  #max: number
  #taken = 0
  readonly #waiting: (() => void)[] = []

  constructor(max: number) {
    this.#max = max
  }

  set max(max: number) {
    this.#max = max
    this.#admit()
  }

  get taken(): number {
    return this.#taken
  }

  /** Resolves to the function that gives the slot back, to be called once. */
  async take(): Promise<() => void> {
    if (this.#taken < this.#max) this.#taken++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return () => {
      this.#taken--
      this.#admit()
    }
  }

  #admit(): void {
    while (this.#taken < this.#max) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#taken++
      next()
    }
  }
}

/** From this utilization on the event loop counts as busy. */
const BUSY = 0.9
/** Milliseconds over which utilization is measured. */
const WINDOW = 200
/** For how long nothing is delivered, to see how busy the loop is without deliveries. */
const PROBE = ms(20)
/** Milliseconds for which the result of a probe holds. */
const CLEAR_FOR = 500
/** However busy the loop is, a queue delivers a batch once in so many milliseconds. */
const MAX_DELAY = 1_000

/**
 * Keeps deliveries below requests: while the event loop is busy with other work they wait, up to a
 * second. A delivery keeps the loop busy itself, so when the loop is busy nothing is delivered for
 * a moment, and that moment is measured.
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
   * @param lastAt when this queue last delivered, in milliseconds of the monotonic clock
   */
  async pass(lastAt: number): Promise<void> {
    for (;;) {
      const now = monotonicNow()
      if (!this.#isBusy(now) || now - lastAt >= MAX_DELAY) return
      this.#probe ??= this.#measure()
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

  /** Whether the loop has time. One probe serves all queues, which all wait for it. */
  async #measure(): Promise<boolean> {
    const before = performance.eventLoopUtilization()
    await pause(PROBE, { keepAlive: false })
    const clear = performance.eventLoopUtilization(before).utilization < BUSY
    if (clear) this.#clearUntil = monotonicNow() + CLEAR_FOR
    this.#probe = null
    return clear
  }
}
