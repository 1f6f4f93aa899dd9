import { isThenable } from '../system/is-thenable.ts'
import { WaitTimeoutError } from './abort-reason.ts'
import { BoundedOperation } from './bounded-operation.ts'
import { deadlineAt } from './clock.ts'
import { type Duration, type Milliseconds, ms, readDuration } from './duration.ts'
import type { WaitContext, WaitNode } from './wait-node.ts'
import { callWithin, type ParentOption, parentOf } from './wait-scope.ts'
import type { WaitOutcome } from './waits.ts'

export interface WithTimeoutOptions<Value, Otherwise = never> extends ParentOption {
  /**
   * Taken in place of the result when the wait expires, or is refused for lack of time: a value, or
   * a function that makes one. What a function promises is awaited for as long as the wait itself
   * was allowed, and may use up the reserve.
   */
  readonly fallback?: Otherwise | ((expired: WaitTimeoutError) => Otherwise | PromiseLike<Otherwise>)
  /**
   * Called with a result that came when nobody awaited it any more, e.g. to close a connection. Its
   * failure is a warning of the process.
   */
  readonly dispose?: (late: Value) => unknown
  /** Gives the wait up when it is aborted; it rejects with the signal's reason then. */
  readonly signal?: AbortSignal
  /** The wait is refused if less than this is left of the deadline. Default: 1 ms. */
  readonly atLeast?: Duration
}

/**
 * Awaits work by name, for a limited time: `limit`, or what is left of the deadline around it less
 * the reserve, whichever is less.
 *
 * The result is that of `work`. What else may happen, and how the list of waits calls it:
 * - `expired`: it ran out. The promise rejects with a `WaitTimeoutError`, and the work's signal is
 *   aborted with the same error.
 * - `degraded`: it ran out, and the fallback took its place.
 * - `refused`: too little was left to begin. As if it had run out at once; `started` of the error
 *   is false.
 * - `aborted`: what is around it was given up (client gone, shutdown, shed, superseded). The
 *   promise rejects with that reason; there is no fallback, and it is no time-out.
 * - `failed`: the work threw or rejected. The promise rejects with the same.
 *
 * Work that goes on afterwards counts as a zombie (`abandonedOperations`) until it ends; its late
 * result is given to `dispose`, its late rejection is dropped.
 *
 * @param name what is waited for, for list of waits, errors and metrics; from a small fixed set
 * @param timeout e.g. `'5s'` or milliseconds; `'unbounded'` leaves only the deadline
 * @param work is told `signal`, `remaining` and `deadline`
 * @throws RangeError (as a rejection) for a limit that is no length of time
 */
export function withTimeout<Value, Otherwise = never>(
  name: string,
  timeout: Duration,
  work: (wait: WaitContext) => Value | PromiseLike<Value>,
  options?: WithTimeoutOptions<Value, Otherwise>,
): Promise<Value | Otherwise> {
  try {
    const own = readDuration(`the wait "${name}"`, 'timeout', timeout)
    return startWait(parentOf(options), name, own, work, options as WaitOptions<Value, Otherwise> | undefined)
  } catch (error) {
    return Promise.reject(error)
  }
}

/** What begins a wait: `Value` is what the work yields, `Otherwise` what its fallback does. */
export interface WaitOptions<Value, Otherwise> {
  /**
   * Taken in place of the result when the wait expired, or when `rescues` says so. A function is
   * called with the error.
   */
  readonly fallback?: Otherwise | ((error: unknown) => Otherwise | PromiseLike<Otherwise>)
  /** Whether the fallback is for this error of the work, too. */
  readonly rescues?: ((error: unknown) => boolean) | undefined
  /** Called with a result that came too late. */
  readonly dispose?: ((late: Value) => unknown) | undefined
  /** Gives the wait up when it is aborted. */
  readonly signal?: AbortSignal | undefined
  /** The least time worth beginning for; default 1 ms, because less cannot be timed. */
  readonly atLeast?: Duration | undefined
  /** It may use up the reserve as well: it is part of what the reserve is for. */
  readonly spendsReserve?: boolean
}

const LEAST = 1
const NO_OPTIONS = {}

/**
 * Begins a wait: calls `work`, and settles as it does, unless time, the surroundings or a signal
 * give it up before. One object is the timer's entry, the record in the list of waits, what `work`
 * is told, and the parent of waits inside.
 *
 * @param own its own limit
 */
export function startWait<Value, Otherwise = never>(
  parent: WaitNode,
  name: string,
  own: Milliseconds,
  work: (wait: WaitContext) => Value | PromiseLike<Value>,
  options: WaitOptions<Value, Otherwise> = NO_OPTIONS,
): Promise<Value | Otherwise> {
  const now = parent.wheel.now()
  const left = parent.available(now) + (options.spendsReserve === true ? parent.reserve : 0)
  const wait = new Wait<Value, Otherwise>(parent, name, now, own, left, options)
  return wait.start(work, left)
}

/**
 * The operation of `withTimeout`: its work is a function of the app. It never waits for its turn; a
 * fallback may take the place of its error.
 */
class Wait<Value, Otherwise> extends BoundedOperation {
  readonly name: string
  readonly #own: Milliseconds
  #options: WaitOptions<Value, Otherwise>
  #resolve: ((value: Value | Otherwise) => void) | null = null
  #reject: ((error: unknown) => void) | null = null
  #onSignal: (() => void) | null = null

  constructor(
    parent: WaitNode,
    name: string,
    now: number,
    own: Milliseconds,
    left: number,
    options: WaitOptions<Value, Otherwise>,
  ) {
    const limit = Math.max(0, own < left ? own : left) as Milliseconds
    super(parent, now, deadlineAt(now + limit), limit)
    this.name = name
    this.#own = own
    this.#options = options
  }

  start(work: (wait: WaitContext) => Value | PromiseLike<Value>, left: number): Promise<Value | Otherwise> {
    const parent = this.parent as WaitNode
    const { signal } = this.#options
    const hasTime = left >= this.#least() && this.#own > 0
    if (!hasTime || parent.reason !== undefined || signal?.aborted === true) {
      const promise = this.#promise()
      this.admit(hasTime, signal?.aborted === true ? { reason: signal.reason } : undefined)
      return promise
    }
    this.enroll()
    if (signal !== undefined) this.#listen(signal)

    let result: Value | PromiseLike<Value>
    this.beginWork()
    try {
      result = callWithin(this, work)
    } catch (error) {
      result = Promise.reject(error)
    }
    if (!isThenable(result)) {
      if (this.outcome === null) {
        this.endWork()
        this.settle('ok')
        if (this.#onSignal !== null) this.#unlisten()
        return Promise.resolve(result)
      }
      // It was given up by its own work.
      result = Promise.resolve(result)
    }
    const promise = this.#promise()
    // A thenable that is no promise of the language may call back twice, or throw.
    const native = result instanceof Promise ? result : Promise.resolve(result)
    native.then(
      (value: Value) => this.#succeed(value),
      (error: unknown) => this.#fail(error),
    )
    if (this.outcome !== null) this.#reject?.(this.reason)
    else this.startTimer()
    return promise
  }

  #promise(): Promise<Value | Otherwise> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  #succeed(value: Value): void {
    if (this.reason !== undefined) {
      this.#disposeOf(value)
      this.#endLate()
      return
    }
    this.endWork()
    this.settle('ok')
    this.#resolve?.(value)
    this.#forget()
  }

  #fail(error: unknown): void {
    // The caller has been told; the late rejection is handled by having come here.
    if (this.reason !== undefined) {
      this.#endLate()
      return
    }
    this.endWork()
    if (this.#options.rescues?.(error) === true) {
      this.wheel.cancel(this)
      this.#rescue(error, 'failed')
      return
    }
    this.#giveError(error, 'failed')
  }

  #endLate(): void {
    this.endWork()
    if (this.outcome !== null) this.#forget()
  }

  override expire(): void {
    const { home } = this
    // The wheel's timer has no context; listeners of the signal and the fallback belong to this
    // work.
    if (home === null) super.expire()
    else home.enter(() => super.expire())
  }

  protected override timeoutError(): WaitTimeoutError {
    const started = this.state !== 'created'
    return new WaitTimeoutError({
      wait: this.name,
      timeout: this.timeout,
      elapsed: ms(started ? this.wheel.now() - this.startedAt : 0),
      because: this.#own <= this.timeout ? 'timeout' : 'deadline',
      started,
    })
  }

  protected override onTimeout(error: unknown, outcome: 'timed-out' | 'refused'): void {
    this.#rescue(error, outcome)
  }

  protected override onGivenUp(reason: unknown): void {
    this.#reject?.(reason)
    this.#forget()
  }

  /** The fallback, if there is one, in place of the error. */
  #rescue(error: unknown, otherwise: 'timed-out' | 'failed' | 'refused'): void {
    const { fallback } = this.#options
    if (fallback === undefined && !('fallback' in this.#options)) {
      this.#giveError(error, otherwise)
      return
    }
    if (typeof fallback !== 'function') {
      this.#giveFallback(fallback as Otherwise)
      return
    }
    const parent = this.parent as WaitNode
    let value: Otherwise | PromiseLike<Otherwise>
    try {
      value = callWithin(parent, () => (fallback as (error: unknown) => Otherwise | PromiseLike<Otherwise>)(error))
    } catch (failure) {
      this.#giveFailedFallback(error, failure, otherwise)
      return
    }
    if (!isThenable(value)) {
      this.#giveFallback(value as Otherwise)
      return
    }
    startWait<Otherwise>(parent, `${this.name}: fallback`, this.#own, () => value, { spendsReserve: true }).then(
      (late) => this.#giveFallback(late),
      (failure: unknown) => this.#giveFailedFallback(error, failure, otherwise),
    )
  }

  #giveFallback(value: Otherwise): void {
    if (!this.settle('degraded')) return
    this.#resolve?.(value)
    this.#forget()
  }

  #giveFailedFallback(error: unknown, failure: unknown, otherwise: 'timed-out' | 'failed' | 'refused'): void {
    // Neither must be lost: the one that is thrown has the other as its cause.
    const [thrown, cause] = otherwise === 'failed' ? [failure, error] : [error, failure]
    if (thrown instanceof Error && thrown !== cause && thrown.cause === undefined) thrown.cause = cause
    this.#giveError(thrown, otherwise)
  }

  #giveError(error: unknown, outcome: WaitOutcome): void {
    if (!this.settle(outcome)) return
    this.#reject?.(error)
    this.#forget()
  }

  #least(): number {
    const { atLeast } = this.#options
    return atLeast === undefined ? LEAST : readDuration(`the wait "${this.name}"`, 'atLeast', atLeast)
  }

  /** A record may stay in a list of waits for long after. */
  #forget(): void {
    if (this.#onSignal !== null) this.#unlisten()
    this.#resolve = null
    this.#reject = null
    if (this.state === 'ended') this.#options = NO_OPTIONS
  }

  #listen(signal: AbortSignal): void {
    this.#onSignal = () => this.giveUp(signal.reason)
    signal.addEventListener('abort', this.#onSignal, { once: true })
  }

  #unlisten(): void {
    if (this.#onSignal !== null) this.#options.signal?.removeEventListener('abort', this.#onSignal)
    this.#onSignal = null
  }

  #disposeOf(value: Value): void {
    const { dispose } = this.#options
    if (dispose === undefined) return
    const complain = (error: unknown): void => {
      process.emitWarning(`disposing of the late result of the wait "${this.name}" failed: ${String(error)}`, {
        type: 'PunctualWarning',
        code: 'PUNCTUAL_DISPOSE_FAILED',
      })
    }
    try {
      const disposed = dispose(value)
      if (isThenable(disposed)) Promise.resolve(disposed).then(undefined, complain)
    } catch (error) {
      complain(error)
    }
  }
}
