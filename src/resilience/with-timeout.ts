import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { redact } from '../redaction/redaction.ts'
import { isThenable } from '../system/is-thenable.ts'
import { WaitTimeoutError } from './abort-reason.ts'
import { BoundedOperation } from './bounded-operation.ts'
import { deadlineAt } from './clock.ts'
import { type Duration, type Milliseconds, ms, readDuration } from './duration.ts'
import type { WaitContext, WaitNode } from './wait-node.ts'
import { callWithin, type ParentOption, parentOf, parentWithFallback } from './wait-scope.ts'
import type { WaitOutcome } from './waits.ts'

export interface WithTimeoutOptions<Value, Otherwise = never> extends ParentOption {
  /**
   * Taken instead of the result when the wait times out or is refused for lack of time: a value, or
   * a function of the error that returns one. A promise that it returns may take as long as the
   * wait itself, and may use the reserve.
   */
  readonly fallback?: Otherwise | ((expired: WaitTimeoutError) => Otherwise | PromiseLike<Otherwise>)
  /**
   * Called with a result that comes too late, e.g. to close a connection. An error in it becomes a
   * process warning.
   */
  readonly dispose?: (late: Value) => unknown
  /** Gives the wait up when it is aborted; it rejects with the reason of the signal. */
  readonly signal?: AbortSignal
  /** The wait is refused if less time is left. Default: 1 ms. */
  readonly atLeast?: Duration
}

const OPTIONS: OptionNames<WithTimeoutOptions<unknown>> = {
  parent: true,
  fallback: true,
  dispose: true,
  signal: true,
  atLeast: true,
}

/**
 * Waits for work with a name and a timeout: `timeout`, or the time left until the deadline around
 * it less the reserve, whichever is less.
 *
 * The result is that of `work`. The other outcomes, as the list of waits names them:
 * - `timed-out`: the promise rejects with a `WaitTimeoutError`, and the signal of the work is
 *   aborted with the same error.
 * - `degraded`: it timed out, and the fallback was taken.
 * - `refused`: too little time was left to start; as a timeout, but `started` of the error is
 *   false.
 * - `aborted`: it was given up with its request (client disconnected, shutdown, shed, superseded).
 *   The promise rejects with that reason, without a fallback; it is not a timeout.
 * - `failed`: the work threw or rejected. The promise rejects with the same error.
 *
 * Work that still runs after that counts in `abandonedOperations` until it ends; its late result
 * goes to `dispose`, its late rejection is dropped.
 *
 * @param name what the caller waits for; appears in errors and in the list of waits; from a small
 *   fixed set
 * @param timeout e.g. `'5s'` or milliseconds; `'unbounded'` leaves only the deadline
 * @param work receives `signal`, `remaining` and `deadline`
 * @throws InvalidOptionError (as a rejection) for an invalid duration or option
 */
export function withTimeout<Value, Otherwise = never>(
  name: string,
  timeout: Duration,
  work: (wait: WaitContext) => Value | PromiseLike<Value>,
  options?: WithTimeoutOptions<Value, Otherwise>,
): Promise<Value | Otherwise> {
  try {
    const own = readDuration(`the wait "${name}"`, 'timeout', timeout)
    if (options !== undefined) checkOptions(`the wait "${name}"`, options, OPTIONS)
    const hasFallback = options !== undefined && 'fallback' in options && options.parent === undefined
    const parent = hasFallback ? parentWithFallback() : parentOf(options)
    return startWait(parent, name, own, work, options as WaitOptions<Value, Otherwise> | undefined)
  } catch (error) {
    return Promise.reject(error)
  }
}

/**
 * The options of `startWait`: `Value` is the result of the work, `Otherwise` that of the fallback.
 */
export interface WaitOptions<Value, Otherwise> {
  /**
   * Taken instead of the result after a timeout, or if `rescues` is true. A function receives the
   * error.
   */
  readonly fallback?: Otherwise | ((error: unknown) => Otherwise | PromiseLike<Otherwise>)
  /** Whether the fallback is for this error of the work, too. */
  readonly rescues?: ((error: unknown) => boolean) | undefined
  /** Called with a result that comes too late. */
  readonly dispose?: ((late: Value) => unknown) | undefined
  /** Gives the wait up when it is aborted. */
  readonly signal?: AbortSignal | undefined
  /** The least time worth starting for. Default: 1 ms, because timers are not finer. */
  readonly atLeast?: Duration | undefined
  /** It may use the reserve, because it is what the reserve is for. */
  readonly spendsReserve?: boolean
}

const MIN_TIME = 1
const NO_OPTIONS = {}

/**
 * Starts a wait: calls `work`, and settles as it does, unless the timeout, the parent or a signal
 * gives it up first. One object is the entry in the timer wheel, the record in the list of waits,
 * the argument of `work`, and the parent of waits inside.
 *
 * @param own its own timeout
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
 * The operation of `withTimeout`: its work is a function of the app. It never waits for its turn.
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
    const timeout = Math.max(0, own < left ? own : left) as Milliseconds
    super(parent, now, deadlineAt(now + timeout), timeout)
    this.name = name
    this.#own = own
    this.#options = options
  }

  start(work: (wait: WaitContext) => Value | PromiseLike<Value>, left: number): Promise<Value | Otherwise> {
    const parent = this.parent as WaitNode
    const { signal } = this.#options
    const hasTime = left >= this.#minTime() && this.#own > 0
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
      // The work itself gave it up.
      result = Promise.resolve(result)
    }
    const promise = this.#promise()
    // A thenable that is not a native promise may call back twice, or throw.
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
    // The caller has its result; arriving here handles the late rejection.
    if (this.reason !== undefined) {
      this.#endLate()
      return
    }
    this.endWork()
    if (this.#options.rescues?.(error) === true) {
      this.wheel.cancel(this)
      this.#tryFallback(error, 'failed')
      return
    }
    this.#settleError(error, 'failed')
  }

  #endLate(): void {
    this.endWork()
    if (this.outcome !== null) this.#forget()
  }

  protected override get ownTimeout(): number {
    return this.#own
  }

  override expire(): void {
    const { home } = this
    // The timer of the wheel has no context, but listeners of the signal and the fallback belong to
    // this work.
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
    this.#tryFallback(error, outcome)
  }

  protected override onGivenUp(reason: unknown): void {
    this.#reject?.(reason)
    this.#forget()
  }

  /** Settles with the fallback, if there is one, instead of the error. */
  #tryFallback(error: unknown, otherwise: 'timed-out' | 'failed' | 'refused'): void {
    const { fallback } = this.#options
    if (fallback === undefined && !('fallback' in this.#options)) {
      this.#settleError(error, otherwise)
      return
    }
    if (typeof fallback !== 'function') {
      this.#settleFallback(fallback as Otherwise)
      return
    }
    const parent = this.parent as WaitNode
    let value: Otherwise | PromiseLike<Otherwise>
    try {
      value = callWithin(parent, () => (fallback as (error: unknown) => Otherwise | PromiseLike<Otherwise>)(error))
    } catch (failure) {
      this.#settleFailedFallback(error, failure, otherwise)
      return
    }
    if (!isThenable(value)) {
      this.#settleFallback(value as Otherwise)
      return
    }
    startWait<Otherwise>(parent, `${this.name}: fallback`, this.#own, () => value, { spendsReserve: true }).then(
      (late) => this.#settleFallback(late),
      (failure: unknown) => this.#settleFailedFallback(error, failure, otherwise),
    )
  }

  #settleFallback(value: Otherwise): void {
    if (!this.settle('degraded')) return
    this.#resolve?.(value)
    this.#forget()
  }

  #settleFailedFallback(error: unknown, failure: unknown, otherwise: 'timed-out' | 'failed' | 'refused'): void {
    // Both errors are kept: the one that is thrown has the other as its cause.
    const [thrown, cause] = otherwise === 'failed' ? [failure, error] : [error, failure]
    if (thrown instanceof Error && thrown !== cause && thrown.cause === undefined) thrown.cause = cause
    this.#settleError(thrown, otherwise)
  }

  #settleError(error: unknown, outcome: WaitOutcome): void {
    if (!this.settle(outcome)) return
    this.#reject?.(error)
    this.#forget()
  }

  #minTime(): number {
    const { atLeast } = this.#options
    return atLeast === undefined ? MIN_TIME : readDuration(`the wait "${this.name}"`, 'atLeast', atLeast)
  }

  /** Drops references, because the record may stay in a list of waits. */
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
    const warn = (error: unknown): void => {
      process.emitWarning(redact(`dispose of the wait "${this.name}" failed for a late result: ${String(error)}`), {
        type: 'PunctualWarning',
        code: 'PUNCTUAL_DISPOSE_FAILED',
      })
    }
    try {
      const disposed = dispose(value)
      if (isThenable(disposed)) Promise.resolve(disposed).then(undefined, warn)
    } catch (error) {
      warn(error)
    }
  }
}
