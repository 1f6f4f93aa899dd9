import { InvalidOptionError } from '../errors/invalid-option-error.ts'

/** How many retries a policy may spend, over all its calls. */
export interface RetryBudgetOptions {
  /** Retries earned by each call: with 0.1, a tenth of the load on top at most. Default: 0.1. */
  readonly share?: number
  /** Retries earned each second besides, so that a call now and then may be retried too. Default: 1. */
  readonly perSecond?: number
  /** How many may be saved up; it begins full. Default: 10. */
  readonly most?: number
}

/**
 * A token bucket that keeps retries from multiplying the load on something that is down for everybody. The idea is that of Finagle's
 * `RetryBudget` and of gRPC's retry throttling (gRFC A6): calls earn, retries spend.
 */
export class RetryBudget {
  readonly #share: number
  readonly #perMillisecond: number
  readonly #most: number
  #tokens: number
  #earnedAt: number

  /**
   * @param now milliseconds of a monotonic clock
   * @throws RangeError for options that do not apply
   */
  constructor(of: string, { share = 0.1, perSecond = 1, most = 10 }: RetryBudgetOptions, now: number) {
    for (const [name, value] of Object.entries({ share, perSecond, most })) {
      if (!(value >= 0) || !Number.isFinite(value)) {
        throw new InvalidOptionError(of, `budget.${name}`, value, 'must be a finite number of at least 0')
      }
    }
    this.#share = share
    this.#perMillisecond = perSecond / 1_000
    this.#most = most
    this.#tokens = most
    this.#earnedAt = now
  }

  /** A call was made for the first time. */
  earn(): void {
    this.#tokens = Math.min(this.#most, this.#tokens + this.#share)
  }

  /** Takes one retry, if there is one. */
  spend(now: number): boolean {
    this.#tokens = Math.min(this.#most, this.#tokens + (now - this.#earnedAt) * this.#perMillisecond)
    this.#earnedAt = now
    // Tenths do not add up to exactly one.
    if (this.#tokens < 1 - 1e-9) return false
    this.#tokens -= 1
    return true
  }
}
