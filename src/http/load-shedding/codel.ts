import type { Milliseconds } from '../../resilience/duration.ts'

/** How much a worker has to do, over a stretch of time. */
export interface LoadMeter {
  /** A stretch begins. */
  begin(): void
  /** Whether since then there was as much to do as could be done. */
  isHigh(): boolean
}

/** Read whenever they are needed: they may be changed meanwhile. */
export interface CodelLimits {
  /** What a request may have waited before that counts as too long. */
  readonly target: Milliseconds
  /**
   * For how long all of them must have waited too long before any is shed, and none before shedding
   * ends.
   */
  readonly interval: Milliseconds
}

/**
 * A request that has waited this many times the target is shed at once, as long as there is
 * overload.
 */
const SLOUGH = 2
/** Overload that comes back within this many intervals is met where it was left. */
const REMEMBERED = 16

const NEVER = Number.NEGATIVE_INFINITY

/**
 * Decides which requests are shed, from nothing but how long each has waited: "Controlled Delay"
 * after K. Nichols and V. Jacobson, "Controlling Queue Delay" (ACM Queue 10.5, 2012; RFC 8289).
 *
 * A queue that empties now and then only evens out a burst, and is left alone however long it is.
 * One in which every request of an interval has waited longer than the target stands: it gives
 * everybody a delay and nobody an answer sooner. Then one is shed, the next after an interval
 * divided by the square root of their number, and so on, until the delay is below the target again.
 *
 * Two things differ from the paper, because clients of HTTP do not slow down when one request of
 * theirs is dropped, as TCP does. What has waited twice the target is shed at once: the law alone
 * would take minutes to shed half of a load. And overload ends when for an interval nothing has
 * waited too long, not with the first request that has not: it would come back at once, and each
 * time cost an interval. The first is what B. Maurer describes in "Fail at Scale" (ACM Queue 13.8,
 * 2015), with the limits of Facebook's servers.
 */
export class Codel {
  readonly #limits: CodelLimits
  readonly #strain: LoadMeter
  #isOverloaded = false
  /** Since when every request has waited too long; `NEVER` when the last one has not. */
  #aboveSince = NEVER
  #lastAbove = NEVER
  #strainSince = NEVER
  /** How many the law has shed since overload began, and how many it began with. */
  #count = 0
  #countBefore = 0
  #nextShed = NEVER

  constructor(limits: CodelLimits, strain: LoadMeter) {
    this.#limits = limits
    this.#strain = strain
  }

  get isOverloaded(): boolean {
    return this.#isOverloaded
  }

  /**
   * Nothing has waited too long lately, so that one that has not either need not be told to `take`.
   */
  get isCalm(): boolean {
    return !this.#isOverloaded && this.#aboveSince === NEVER
  }

  /**
   * A request is at the head of the queue: it is served next, or shed.
   *
   * @param waited milliseconds since it was accepted
   * @param now monotonic milliseconds
   * @returns whether it must be shed
   */
  take(waited: number, now: number): boolean {
    const above = waited >= this.#limits.target
    if (above) this.#lastAbove = now
    this.#judge(above, now)
    if (!this.#isOverloaded || !above) return false
    if (waited >= this.#limits.target * SLOUGH) return true
    if (now < this.#nextShed) return false
    this.#count++
    this.#nextShed += this.#limits.interval / Math.sqrt(this.#count)
    return true
  }

  /** Time has passed: overload ends without a request, too. */
  look(now: number): void {
    if (now - this.#lastAbove >= this.#limits.interval) this.#judge(false, now)
  }

  #judge(above: boolean, now: number): void {
    if (this.#isOverloaded) {
      if (now - this.#lastAbove >= this.#limits.interval) return this.#leave()
      if (now - this.#strainSince < this.#limits.interval) return
      if (!this.#strain.isHigh()) return this.#leave()
      this.#measure(now)
    } else if (!above) {
      this.#aboveSince = NEVER
    } else if (this.#aboveSince === NEVER) {
      this.#aboveSince = now
      this.#measure(now)
    } else if (now - this.#aboveSince >= this.#limits.interval) {
      if (this.#strain.isHigh()) return this.#enter(now)
      // They have waited elsewhere, which shedding here would not help.
      this.#aboveSince = now
      this.#measure(now)
    }
  }

  #enter(now: number): void {
    this.#isOverloaded = true
    // RFC 8289, 5.5: what was found out about the load a moment ago still holds.
    const added = this.#count - this.#countBefore
    this.#count = added > 1 && now - this.#nextShed < REMEMBERED * this.#limits.interval ? added : 0
    this.#countBefore = this.#count
    this.#nextShed = now
    this.#measure(now)
  }

  #leave(): void {
    this.#isOverloaded = false
    this.#aboveSince = NEVER
  }

  #measure(now: number): void {
    this.#strainSince = now
    this.#strain.begin()
  }
}
