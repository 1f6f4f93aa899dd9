import { performance } from 'node:perf_hooks'
import type { Milliseconds } from '../../resilience/duration.ts'

/** Measures the load of a worker over a period. */
export interface LoadMeter {
  /** Starts a period. */
  begin(): void
  /** Whether the worker was fully used since then. */
  isHigh(): boolean
}

/** Read whenever they are needed, because they may change. */
export interface CodelSettings {
  /** How long a request may have waited. */
  readonly target: Milliseconds
  /**
   * For how long all requests must exceed the target before one is shed, and none before shedding
   * ends.
   */
  readonly interval: Milliseconds
}

/** During overload a request that has waited this many times the target is shed at once. */
const IMMEDIATE_SHED_FACTOR = 2
/** If overload recurs within this many intervals, shedding resumes at its former rate. */
const MEMORY_INTERVALS = 16

const NEVER = Number.NEGATIVE_INFINITY

/**
 * Decides which requests are shed from how long each has waited: "Controlled Delay" by K. Nichols
 * and V. Jacobson ("Controlling Queue Delay", ACM Queue 10.5, 2012; RFC 8289).
 *
 * A queue that becomes empty from time to time only evens out bursts, and is left alone at any
 * length. If all requests of an interval have waited longer than the target, the queue is standing:
 * it delays every request and makes none faster. Then one is shed, the next after the interval
 * divided by the square root of their number, and so on, until the delay is below the target.
 *
 * Two things differ from the paper, because HTTP clients do not slow down when a request is
 * dropped, as TCP does. Requests that have waited twice the target are shed at once: the control
 * law alone would take minutes to shed half of a load. And overload ends when no request exceeds
 * the target for an interval, not with the first one: it would recur at once, and cost an interval
 * each time. The former is described in B. Maurer, "Fail at Scale" (ACM Queue 13.8, 2015).
 */
export class Codel {
  readonly #settings: CodelSettings
  readonly #meter: LoadMeter
  #isOverloaded = false
  /** Since when every request has exceeded the target; `NEVER` if the last one did not. */
  #aboveSince = NEVER
  #lastAbove = NEVER
  #measuredSince = NEVER
  /** Number of requests that the control law has shed, and its value when overload began. */
  #count = 0
  #countBefore = 0
  #nextShed = NEVER

  constructor(settings: CodelSettings, meter: LoadMeter) {
    this.#settings = settings
    this.#meter = meter
  }

  get isOverloaded(): boolean {
    return this.#isOverloaded
  }

  /**
   * No request has exceeded the target lately, so `take` need not be called for one that does not.
   */
  get isCalm(): boolean {
    return !this.#isOverloaded && this.#aboveSince === NEVER
  }

  /**
   * A request is next: it is started or shed.
   *
   * @param waited milliseconds since it was accepted
   * @param now monotonic milliseconds
   * @returns whether to shed it
   */
  take(waited: number, now: number): boolean {
    const above = waited >= this.#settings.target
    if (above) this.#lastAbove = now
    this.#decide(above, now)
    if (!this.#isOverloaded || !above) return false
    if (waited >= this.#settings.target * IMMEDIATE_SHED_FACTOR) return true
    if (now < this.#nextShed) return false
    this.#count++
    this.#nextShed += this.#settings.interval / Math.sqrt(this.#count)
    return true
  }

  /** Called regularly: overload also ends without requests. */
  look(now: number): void {
    if (now - this.#lastAbove >= this.#settings.interval) this.#decide(false, now)
  }

  #decide(above: boolean, now: number): void {
    if (this.#isOverloaded) {
      if (now - this.#lastAbove >= this.#settings.interval) return this.#leave()
      if (now - this.#measuredSince < this.#settings.interval) return
      if (!this.#meter.isHigh()) return this.#leave()
      this.#measure(now)
    } else if (!above) {
      this.#aboveSince = NEVER
    } else if (this.#aboveSince === NEVER) {
      this.#aboveSince = now
      this.#measure(now)
    } else if (now - this.#aboveSince >= this.#settings.interval) {
      if (this.#meter.isHigh()) return this.#enter(now)
      // The worker is not fully used: they have waited elsewhere, and shedding would not help.
      this.#aboveSince = now
      this.#measure(now)
    }
  }

  #enter(now: number): void {
    this.#isOverloaded = true
    // RFC 8289, 5.5: the rate found a moment ago still holds.
    const added = this.#count - this.#countBefore
    this.#count = added > 1 && now - this.#nextShed < MEMORY_INTERVALS * this.#settings.interval ? added : 0
    this.#countBefore = this.#count
    this.#nextShed = now
    this.#measure(now)
  }

  #leave(): void {
    this.#isOverloaded = false
    this.#aboveSince = NEVER
  }

  #measure(now: number): void {
    this.#measuredSince = now
    this.#meter.begin()
  }
}

/** The share of a period for which the event loop must be active to count as fully used. */
const FULL = 0.9

/**
 * The utilization of the event loop since a given moment, not since the start of the process:
 * overload after an idle night must be detected within a second.
 */
export class Utilization {
  #since = performance.eventLoopUtilization()

  /** Starts a period. */
  begin(): void {
    this.#since = performance.eventLoopUtilization()
  }

  /** 0 to 1: the share of the period in which the loop did not wait for events. */
  get value(): number {
    return performance.eventLoopUtilization(this.#since).utilization
  }

  get isFull(): boolean {
    return this.value >= FULL
  }
}
