import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { isFailureOfWork } from './abort-reason.ts'
import { type BackOff, delayAfter, type Jitter } from './back-off.ts'
import { wallClock } from './clock.ts'
import { type Duration, ms, readCount, readDuration } from './duration.ts'
import { type TimerWheel, WheelEntry, waitWheel } from './timer-wheel.ts'
import type { WaitContext, WaitNode } from './wait-node.ts'
import { callWithin, PARENT_OPTION, type ParentOption, parentOf } from './wait-scope.ts'
import { startWait } from './with-timeout.ts'

export interface RetryOptions {
  /** How many attempts there are, including the first. Default: 3. */
  readonly attempts?: number
  /** The order of the first delay. Default: 50 ms. */
  readonly initialDelay?: Duration
  /** The longest delay. Default: 2 s. */
  readonly maxDelay?: Duration
  /** How delays are randomized. Default: `full`. */
  readonly jitter?: Jitter
  /**
   * How many retries all calls may make together. Default: one for ten calls, plus one a second.
   */
  readonly budget?: RetryBudgetOptions
  /**
   * Whether an error is worth another attempt. Default: all errors but abort reasons that are not a
   * timeout, waits that were refused for lack of time, an open breaker and a full bulkhead.
   */
  readonly when?: (error: unknown, attempt: number) => boolean
  /** Returns numbers from 0 to 1. Default: `Math.random`. */
  readonly random?: () => number
  /**
   * The clock of the budget. Default: the clock of the process. Delays use the clock of their
   * scope.
   */
  readonly wheel?: TimerWheel
}

const OPTIONS: OptionNames<RetryOptions> = {
  attempts: true,
  initialDelay: true,
  maxDelay: true,
  jitter: true,
  budget: true,
  when: true,
  random: true,
  wheel: true,
}

/**
 * Repeats work that failed, after a growing delay, while there are attempts, budget and time left.
 * If the delay would exceed the deadline, it rejects at once, so that there is time for a fallback.
 * The delay is at least what `Retry-After` in the headers of the error, or of its response, asks
 * for; if that is more than a minute, it rejects.
 *
 * Only for work that is safe to repeat. Give every attempt a timeout: put `withTimeout` inside, and
 * another around all attempts.
 */
export class Retry {
  readonly name: string
  readonly #attempts: number
  readonly #backOff: BackOff
  readonly #budget: RetryBudget
  readonly #when: (error: unknown, attempt: number) => boolean
  readonly #wheel: TimerWheel

  /** @throws InvalidOptionError for an invalid option */
  constructor(name: string, options: RetryOptions) {
    const what = `the retry "${name}"`
    checkOptions(what, options, OPTIONS)
    this.name = name
    this.#attempts = readCount(what, 'attempts', options.attempts ?? 3, 1)
    this.#backOff = {
      jitter: options.jitter ?? 'full',
      initialDelay: readDuration(what, 'initialDelay', options.initialDelay ?? '50ms'),
      maxDelay: readDuration(what, 'maxDelay', options.maxDelay ?? '2s'),
      random: options.random ?? Math.random,
    }
    this.#when = options.when ?? isFailureOfWork
    this.#wheel = options.wheel ?? waitWheel
    this.#budget = new RetryBudget(what, options.budget ?? {}, this.#wheel.now())
  }

  /**
   * Calls `work` until it succeeds.
   *
   * @param work receives the number of the attempt, from 1
   * @returns what `work` returns; rejects with the error of the last attempt, or with the reason if
   *   it is given up with its request
   */
  async run<Value>(
    work: (wait: WaitContext, attempt: number) => Value | PromiseLike<Value>,
    options?: ParentOption,
  ): Promise<Value> {
    if (options !== undefined) checkOptions(`the retry "${this.name}"`, options, PARENT_OPTION)
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
        const requested = retryAfterOf(error)
        if (requested > MAX_RETRY_AFTER) throw error
        delay = Math.max(delay, requested)
        if (delay >= parent.available(parent.wheel.now())) throw error
        if (!this.#budget.spend(this.#wheel.now())) throw error
        await pauseWithin(parent, `${this.name}: back-off`, delay)
      }
    }
  }
}

/** Milliseconds; a server that asks for a longer pause is not tried again. */
const MAX_RETRY_AFTER = 60_000

/**
 * The pause that a server has asked for, in milliseconds: `Retry-After` (RFC 9110) in the headers
 * of an error or of its response, as libraries for HTTP keep them. 0 if there is none.
 */
function retryAfterOf(error: unknown): number {
  const { headers, response } = (error ?? {}) as { readonly headers?: unknown; readonly response?: unknown }
  const value = headerOf(headers) ?? headerOf((response as { readonly headers?: unknown } | null | undefined)?.headers)
  if (value === undefined) return 0
  if (/^\s*\d+(?:\.\d+)?\s*$/.test(value)) return Number(value) * 1_000
  const instant = Date.parse(value)
  return Number.isNaN(instant) ? 0 : Math.max(0, instant - wallClock().getTime())
}

/** @param headers a `Headers`, or an object with names in any case */
function headerOf(headers: unknown): string | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined
  const { get } = headers as { readonly get?: unknown }
  if (typeof get === 'function') return text(get.call(headers, 'retry-after'))
  for (const [name, value] of Object.entries(headers)) if (name.toLowerCase() === 'retry-after') return text(value)
  return undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

/** A delay that rejects at once when its request is given up. */
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

/**
 * Creates a retry policy. Use one for each dependency, because the budget is shared by all its
 * calls.
 *
 * @param name appears in errors and in the list of waits
 * @throws InvalidOptionError for an invalid option
 */
export function retry(name: string, options: RetryOptions = {}): Retry {
  return new Retry(name, options)
}

/** How many retries a policy may make, over all its calls. */
export interface RetryBudgetOptions {
  /** Retries that each call earns: 0.1 adds a tenth of the load at most. Default: 0.1. */
  readonly share?: number
  /** Retries earned each second in addition, for dependencies with few calls. Default: 1. */
  readonly perSecond?: number
  /** How many retries may be saved up; the budget starts full. Default: 10. */
  readonly max?: number
}

const BUDGET_OPTIONS: OptionNames<RetryBudgetOptions> = { share: true, perSecond: true, max: true }

/**
 * A token bucket that keeps retries from multiplying the load on a dependency that is down, as
 * Finagle's `RetryBudget` and gRPC's retry throttling (gRFC A6) do: calls earn tokens, retries
 * spend them.
 */
export class RetryBudget {
  readonly #share: number
  readonly #perMillisecond: number
  readonly #max: number
  #tokens: number
  #earnedAt: number

  /**
   * @param now milliseconds of a monotonic clock
   * @throws InvalidOptionError for an invalid option
   */
  constructor(of: string, options: RetryBudgetOptions, now: number) {
    checkOptions(of, options, BUDGET_OPTIONS, 'budget.')
    const { share = 0.1, perSecond = 1, max = 10 } = options
    for (const [name, value] of Object.entries({ share, perSecond, max })) {
      if (!(value >= 0) || !Number.isFinite(value)) {
        throw new InvalidOptionError(of, `budget.${name}`, value, 'must be a finite number of at least 0')
      }
    }
    this.#share = share
    this.#perMillisecond = perSecond / 1_000
    this.#max = max
    this.#tokens = max
    this.#earnedAt = now
  }

  /** Called for the first attempt of each call. */
  earn(): void {
    this.#tokens = Math.min(this.#max, this.#tokens + this.#share)
  }

  /** Takes one retry; false if there is none. */
  spend(now: number): boolean {
    this.#tokens = Math.min(this.#max, this.#tokens + (now - this.#earnedAt) * this.#perMillisecond)
    this.#earnedAt = now
    // Floating-point tenths do not add up to exactly one.
    if (this.#tokens < 1 - 1e-9) return false
    this.#tokens -= 1
    return true
  }
}
