import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { isFailureOfWork } from './abort-reason.ts'
import { type BackOff, delayAfter, type Jitter } from './back-off.ts'
import { type Duration, ms, readCount, readDuration } from './duration.ts'
import { type TimerWheel, WheelEntry, waitWheel } from './timer-wheel.ts'
import type { WaitContext, WaitNode } from './wait-node.ts'
import { callWithin, type ParentOption, parentOf } from './wait-scope.ts'
import { startWait } from './with-timeout.ts'

export interface RetryOptions {
  /** How often it is tried, the first time included. Default: 3. */
  readonly attempts?: number
  /** The first delay is of this order. Default: 50 ms. */
  readonly base?: Duration
  /** No delay is longer. Default: 2 s. */
  readonly most?: Duration
  /** How delays are spread. Default: `full`. */
  readonly jitter?: Jitter
  /** How many retries there may be over all calls: by default one for ten calls, plus one a second, at most ten at once. */
  readonly budget?: RetryBudgetOptions
  /**
   * Whether an error is worth another attempt. Default: all, save reasons to abort that are no time-out, waits that were refused for lack
   * of time, an open breaker and a full bulkhead.
   */
  readonly when?: (error: unknown, attempt: number) => boolean
  /** Numbers from 0 up to 1. Default: `Math.random`. */
  readonly random?: () => number
  /** The clock of its budget. Default: that of the process. Delays go by the clock of the work around. */
  readonly wheel?: TimerWheel
}

/**
 * Tries again what failed, after a growing delay, as long as there are attempts, budget and time. A delay that would outlast the
 * deadline is not begun: the error is given at once, while something can still be made of it.
 *
 * Only for work that is safe to repeat. Every attempt wants a limit of its own: put `withTimeout` inside, and another around all of them.
 */
export class Retry {
  readonly name: string
  readonly #attempts: number
  readonly #backOff: BackOff
  readonly #budget: RetryBudget
  readonly #when: (error: unknown, attempt: number) => boolean
  readonly #wheel: TimerWheel

  /** @throws RangeError for options that do not apply */
  constructor(name: string, options: RetryOptions) {
    const what = `the retry "${name}"`
    this.name = name
    this.#attempts = readCount(what, 'attempts', options.attempts ?? 3, 1)
    this.#backOff = {
      jitter: options.jitter ?? 'full',
      base: readDuration(what, 'base', options.base ?? '50ms'),
      most: readDuration(what, 'most', options.most ?? '2s'),
      random: options.random ?? Math.random,
    }
    this.#when = options.when ?? isFailureOfWork
    this.#wheel = options.wheel ?? waitWheel
    this.#budget = new RetryBudget(what, options.budget ?? {}, this.#wheel.now())
  }

  /**
   * Calls `work` until it succeeds.
   *
   * @param work is told the number of its attempt, from 1
   * @returns what `work` returns; rejects with the error of the last attempt, or with the reason when what is around it is given up
   */
  async run<Value>(
    work: (wait: WaitContext, attempt: number) => Value | PromiseLike<Value>,
    options?: ParentOption,
  ): Promise<Value> {
    const parent = parentOf(options)
    this.#budget.earn()
    let delay = 0
    for (let attempt = 1; ; attempt++) {
      if (parent.reason !== undefined) throw parent.reason
      try {
        return await callWithin(parent, (wait) => work(wait, attempt))
      } catch (error) {
        if (parent.reason !== undefined || attempt >= this.#attempts || !this.#when(error, attempt)) throw error
        delay = delayAfter(this.#backOff, attempt, delay)
        if (delay >= parent.available(parent.wheel.now())) throw error
        if (!this.#budget.spend(this.#wheel.now())) throw error
        await pauseWithin(parent, `${this.name}: back-off`, delay)
      }
    }
  }
}

/** A pause that is over at once when what is around it is given up; it rejects with that reason then. */
async function pauseWithin(parent: WaitNode, name: string, length: number): Promise<void> {
  await startWait(parent, name, ms(Number.POSITIVE_INFINITY), ({ signal }) => {
    return new Promise<void>((resolve) => {
      const pause = new Pause(resolve)
      parent.wheel.set(pause, parent.wheel.now() + length, true)
      signal.addEventListener(
        'abort',
        () => {
          parent.wheel.cancel(pause)
          resolve()
        },
        { once: true },
      )
    })
  })
}

class Pause extends WheelEntry {
  readonly #end: () => void

  constructor(end: () => void) {
    super()
    this.#end = end
  }

  override expire(): void {
    this.#end()
  }
}

/** A policy for each thing that is retried: the budget is counted for all its calls. */
export function retry(name: string, options: RetryOptions = {}): Retry {
  return new Retry(name, options)
}

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
