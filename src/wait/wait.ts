import { isExpiry, WaitExpiredError } from './abort-reason.ts'
import { deadlineAt } from './deadline.ts'
import { type Milliseconds, ms } from './duration.ts'
import type { WaitOutcome, WaitRecord } from './ledger.ts'
import { type Limit, readLimit } from './limit.ts'
import { type WaitContext, WaitNode } from './wait-node.ts'
import { callWithin } from './wait-scope.ts'
import { addZombie, removeZombie } from './zombies.ts'

/** What begins a wait: `Value` is what the work yields, `Otherwise` what its fallback does. */
export interface WaitOptions<Value, Otherwise> {
  /** Taken in place of the result when the wait expired, or when `rescues` says so. A function is called with the error. */
  readonly fallback?: Otherwise | ((error: unknown) => Otherwise | PromiseLike<Otherwise>)
  /** Whether the fallback is for this error of the work, too. */
  readonly rescues?: ((error: unknown) => boolean) | undefined
  /** Called with a result that came too late. */
  readonly dispose?: ((late: Value) => unknown) | undefined
  /** Gives the wait up when it is aborted. */
  readonly signal?: AbortSignal | undefined
  /** The least time worth beginning for; default 1 ms, because less cannot be timed. */
  readonly atLeast?: Limit | undefined
  /** It may use up the reserve as well: it is part of what the reserve is for. */
  readonly spendsReserve?: boolean
}

const LEAST = 1
const NO_OPTIONS = {}

/**
 * Begins a wait: calls `work`, and settles as it does, unless time, the surroundings or a signal give it up before. One object is the timer's
 * entry, the record in the ledger, what `work` is told, and the parent of waits inside.
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

class Wait<Value, Otherwise> extends WaitNode implements WaitRecord {
  readonly name: string
  readonly limit: Milliseconds
  readonly #own: Milliseconds
  outcome: WaitOutcome | null = null
  endedAt: number | null = null
  #options: WaitOptions<Value, Otherwise>
  #resolve: ((value: Value | Otherwise) => void) | null = null
  #reject: ((error: unknown) => void) | null = null
  /** Whether the work goes on: it has been called and has not settled. */
  #working = false
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
    super(parent, now, deadlineAt(now + limit))
    this.name = name
    this.limit = limit
    this.#own = own
    this.#options = options
  }

  override get over(): boolean {
    return this.outcome !== null || this.reason !== undefined
  }

  start(work: (wait: WaitContext) => Value | PromiseLike<Value>, left: number): Promise<Value | Otherwise> {
    const parent = this.parent as WaitNode
    const { signal } = this.#options
    this.home?.ledger.begin(this)
    if (parent.reason !== undefined) return this.#refuse(parent.reason)
    if (signal?.aborted === true) return this.#refuse(signal.reason)
    if (left < this.#least() || this.#own <= 0) return this.#refuseForTime()
    this.join()
    if (signal !== undefined) this.#listen(signal)

    let result: Value | PromiseLike<Value>
    this.#working = true
    try {
      result = callWithin(this, work)
    } catch (error) {
      result = Promise.reject(error)
    }
    if (!isThenable(result)) {
      if (this.outcome === null) {
        this.#working = false
        this.#end('ok')
        return Promise.resolve(result)
      }
      // It was given up by its own work.
      result = Promise.resolve(result)
    }
    const promise = this.#promise()
    // A thenable of somebody else's may call back twice, or throw.
    const native = result instanceof Promise ? result : Promise.resolve(result)
    native.then(
      (value: Value) => this.#succeed(value),
      (error: unknown) => this.#fail(error),
    )
    if (this.outcome !== null) this.#reject?.(this.reason)
    else this.wheel.set(this, this.deadline, true, this.startedAt)
    return promise
  }

  #promise(): Promise<Value | Otherwise> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  #succeed(value: Value): void {
    this.#working = false
    if (this.reason !== undefined) {
      this.#disposeOf(value)
      this.#endZombie()
      return
    }
    this.#end('ok')
    this.#resolve?.(value)
    this.#forget()
  }

  #fail(error: unknown): void {
    this.#working = false
    // A late rejection is nobody's any more. It is handled by having come here.
    if (this.reason !== undefined) {
      this.#endZombie()
      return
    }
    if (this.#options.rescues?.(error) === true) {
      this.wheel.cancel(this)
      this.#rescue(error, 'failed')
      return
    }
    this.#end('failed')
    this.#reject?.(error)
    this.#forget()
  }

  override expire(): void {
    const { home } = this
    if (home === null) this.#expire()
    // The wheel's timer belongs to nobody; listeners of the signal and the fallback belong to this work.
    else home.enter(() => this.#expire())
  }

  #expire(): void {
    const elapsed = ms(this.wheel.now() - this.startedAt)
    const error = this.#expired(elapsed, true)
    if (this.#working) this.#beginZombie()
    super.giveUp(error)
    this.#rescue(error, 'expired')
  }

  #expired(elapsed: Milliseconds, started: boolean): WaitExpiredError {
    return new WaitExpiredError({
      wait: this.name,
      limit: this.limit,
      elapsed,
      because: this.#own <= this.limit ? 'limit' : 'deadline',
      started,
    })
  }

  override giveUp(reason: unknown): void {
    if (this.outcome !== null) {
      this.giveUpInside(reason)
      return
    }
    // While its fallback is made, it has been given up already.
    if (this.reason === undefined) {
      if (this.#working) this.#beginZombie()
      super.giveUp(reason)
    }
    this.#end(isExpiry(reason) ? 'expired' : 'aborted')
    this.#reject?.(reason)
    this.#forget()
  }

  /** The fallback, if there is one, in place of the error. */
  #rescue(error: unknown, otherwise: 'expired' | 'failed' | 'refused'): void {
    // A listener of the signal may have ended it.
    if (this.outcome !== null) return
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
    if (this.outcome !== null) return
    this.#end('degraded')
    this.#resolve?.(value)
    this.#forget()
  }

  #giveFailedFallback(error: unknown, failure: unknown, otherwise: 'expired' | 'failed' | 'refused'): void {
    // Neither must be lost: the one that is thrown has the other as its cause.
    const [thrown, cause] = otherwise === 'failed' ? [failure, error] : [error, failure]
    if (thrown instanceof Error && thrown !== cause && thrown.cause === undefined) thrown.cause = cause
    this.#giveError(thrown, otherwise)
  }

  #giveError(error: unknown, outcome: WaitOutcome): void {
    if (this.outcome !== null) return
    this.#end(outcome)
    this.#reject?.(error)
    this.#forget()
  }

  #refuse(reason: unknown): Promise<never> {
    this.reason = reason
    this.#end('refused')
    return Promise.reject(reason)
  }

  #least(): number {
    const { atLeast } = this.#options
    return atLeast === undefined ? LEAST : readLimit(`the wait "${this.name}"`, 'atLeast', atLeast)
  }

  #refuseForTime(): Promise<Value | Otherwise> {
    const error = this.#expired(ms(0), false)
    this.reason = error
    const promise = this.#promise()
    this.#rescue(error, 'refused')
    return promise
  }

  #end(outcome: WaitOutcome): void {
    if (this.outcome !== null) return
    this.outcome = outcome
    this.wheel.cancel(this)
    this.leave()
    if (this.#onSignal !== null) this.#unlisten()
    if (this.home !== null) {
      this.endedAt = this.wheel.now()
      this.home.ledger.end(this)
    }
  }

  /** A record may stay in a ledger for long after. */
  #forget(): void {
    this.#resolve = null
    this.#reject = null
    if (!this.#working) this.#options = NO_OPTIONS
  }

  #listen(signal: AbortSignal): void {
    this.#onSignal = () => this.giveUp(signal.reason)
    signal.addEventListener('abort', this.#onSignal, { once: true })
  }

  #unlisten(): void {
    if (this.#onSignal !== null) this.#options.signal?.removeEventListener('abort', this.#onSignal)
    this.#onSignal = null
  }

  #beginZombie(): void {
    addZombie(this.name)
    this.beginUnfinished()
  }

  #endZombie(): void {
    removeZombie(this.name)
    this.endUnfinished()
    if (this.outcome !== null) this.#forget()
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

function isThenable(value: unknown): value is PromiseLike<never> {
  return (
    value instanceof Promise ||
    (value !== null &&
      (typeof value === 'object' || typeof value === 'function') &&
      typeof (value as { then?: unknown }).then === 'function')
  )
}
