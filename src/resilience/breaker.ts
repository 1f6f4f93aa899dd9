import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError, PunctualError } from '../errors/punctual-error.ts'
import { redact } from '../redaction/redaction.ts'
import { isFailureOfWork } from './abort-reason.ts'
import { type Duration, formatElapsed, type Milliseconds, ms, readCount, readDuration } from './duration.ts'
import { type TimerWheel, waitWheel } from './timer-wheel.ts'
import { recordRefusal, type WaitContext, WaitNode } from './wait-node.ts'
import { callWithin, PARENT_OPTION, type ParentOption, parentOf } from './wait-scope.ts'
import { startWait } from './with-timeout.ts'

/**
 * When a closed breaker opens: after failures in a row, or when a share of the calls in a window
 * fails.
 */
export type BreakerTrip =
  | { readonly kind: 'consecutive'; readonly failures: number }
  | { readonly kind: 'share'; readonly share: number; readonly window: Duration; readonly atLeast: number }

export interface BreakerOptions {
  /** Default: five failures in a row. */
  readonly trip?: BreakerTrip
  /** How long it stays open before a probe; doubled after each failed probe. Default: 10 s. */
  readonly openFor?: Duration
  /** The longest time it stays open. Default: 1 min. */
  readonly maxOpenFor?: Duration
  /** How many calls may probe at once, and how many must succeed to close it. Default: 1. */
  readonly probes?: number
  /** How long a probe may take before it counts as failed. Default: 5 s. */
  readonly probeTimeout?: Duration
  /**
   * Whether an error counts as a failure. Default: all errors but refused waits and abort reasons
   * that are not a timeout.
   */
  readonly counts?: (error: unknown) => boolean
  /**
   * Returns numbers from 0 to 1; spreads the probes of many processes by a fifth. Default:
   * `Math.random`.
   */
  readonly random?: () => number
  /** Its clock. Default: the clock of the process. */
  readonly wheel?: TimerWheel
}

const OPTIONS: OptionNames<BreakerOptions> = {
  trip: true,
  openFor: true,
  maxOpenFor: true,
  probes: true,
  probeTimeout: true,
  counts: true,
  random: true,
  wheel: true,
}

const TRIP_OPTIONS = {
  consecutive: { kind: true, failures: true },
  share: { kind: true, share: true, window: true, atLeast: true },
} as const

/** Calls go through, and failures are counted. */
interface Closed {
  readonly kind: 'closed'
  failuresInARow: number
}
/** Calls fail at once until the time is up. */
interface Open {
  readonly kind: 'open'
  /** Milliseconds of the clock. */
  readonly until: number
  /** How often it has opened in a row. */
  readonly times: number
  readonly cause: unknown
}
/** A few calls probe; the others fail at once. */
interface HalfOpen {
  readonly kind: 'half-open'
  readonly times: number
  readonly cause: unknown
  probing: number
  succeeded: number
  /** When the newest probe times out, in milliseconds of the clock. */
  until: number
}
type BreakerState = Closed | Open | HalfOpen

/** The breaker is open and the call was not made. `cause` is the failure that opened it. */
export class BreakerOpenError extends PunctualError {
  static {
    BreakerOpenError.prototype.name = 'BreakerOpenError'
  }

  readonly breaker: string
  /** Milliseconds until the next probe. */
  readonly retryAfter: Milliseconds

  constructor(breaker: string, retryAfter: Milliseconds, cause: unknown) {
    super(
      'PUNCTUAL_BREAKER_OPEN',
      `the breaker "${breaker}" is open after repeated failures; try again in ${formatElapsed(retryAfter)}`,
      { cause },
    )
    this.breaker = breaker
    this.retryAfter = retryAfter
  }
}

/**
 * A circuit breaker after M. Nygard, "Release It!" (2007). Closed, it makes all calls and counts
 * failures. Open, it fails calls at once. After `openFor` it is half-open: a few calls probe, each
 * with a timeout, and the others fail at once until the probes have decided. The result of a call
 * that started in an earlier state does not count.
 *
 * A call counts as failed when the wait around it times out, even if the call itself never settles.
 */
export class Breaker {
  readonly name: string
  readonly #trip: BreakerTrip
  readonly #window: FailureWindow | null
  readonly #openFor: Milliseconds
  readonly #maxOpenFor: Milliseconds
  readonly #probes: number
  readonly #probeTimeout: Milliseconds
  readonly #counts: (error: unknown) => boolean
  readonly #random: () => number
  readonly #wheel: TimerWheel
  #state: BreakerState = { kind: 'closed', failuresInARow: 0 }

  /** @throws InvalidOptionError for an invalid option */
  constructor(name: string, options: BreakerOptions) {
    const { trip = { kind: 'consecutive', failures: 5 }, openFor = '10s', maxOpenFor = '1m' } = options
    const what = `the breaker "${name}"`
    checkOptions(what, options, OPTIONS)
    if (Object.hasOwn(TRIP_OPTIONS, trip.kind)) checkOptions(what, trip, TRIP_OPTIONS[trip.kind], 'trip.')
    this.name = name
    this.#trip = trip
    this.#window = windowOf(what, trip)
    this.#openFor = readDuration(what, 'openFor', openFor)
    this.#maxOpenFor = ms(Math.max(this.#openFor, readDuration(what, 'maxOpenFor', maxOpenFor)))
    this.#probes = readCount(what, 'probes', options.probes ?? 1, 1)
    this.#probeTimeout = readDuration(what, 'probeTimeout', options.probeTimeout ?? '5s')
    // Without a timeout, a probe that never settles keeps the breaker half-open.
    if (this.#probeTimeout === 0 || !Number.isFinite(this.#probeTimeout)) {
      throw new InvalidOptionError(what, 'probeTimeout', options.probeTimeout, 'must be finite and greater than 0')
    }
    this.#counts = options.counts ?? isFailureOfWork
    this.#random = options.random ?? Math.random
    this.#wheel = options.wheel ?? waitWheel
  }

  /**
   * The state now. An open breaker stays `open` when its time is up, until the next call probes.
   */
  get state(): 'closed' | 'open' | 'half-open' {
    return this.#state.kind
  }

  /**
   * Calls `work`, unless the breaker is open.
   *
   * @returns what `work` returns; rejects with a `BreakerOpenError`, with a `WaitTimeoutError` if a
   *   probe times out, or as `work` does
   */
  async run<Value>(work: (wait: WaitContext) => Value | PromiseLike<Value>, options?: ParentOption): Promise<Value> {
    if (options !== undefined) checkOptions(`the breaker "${this.name}"`, options, PARENT_OPTION)
    const parent = parentOf(options)
    if (parent.reason !== undefined) throw parent.reason
    const now = this.#wheel.now()
    if (this.#state.kind === 'open' && now >= this.#state.until) {
      const { times, cause } = this.#state
      this.#state = { kind: 'half-open', times, cause, probing: 0, succeeded: 0, until: now }
    }
    const state = this.#state
    if (state.kind === 'closed') return this.#watch(state, parent, work)
    if (state.kind === 'open' || state.probing + state.succeeded >= this.#probes) {
      recordRefusal(parent, this.name)
      throw new BreakerOpenError(this.name, ms(Math.max(0, state.until - now)), state.cause)
    }
    state.probing++
    state.until = Math.max(state.until, now + this.#probeTimeout)
    return this.#watch(state, parent, (around) =>
      startWait(around as WaitNode, `${this.name}: probe`, this.#probeTimeout, work),
    )
  }

  /** Asks the app. If `counts` throws, e.g. over a property of `undefined`, the error counts. */
  #isFailure(error: unknown): boolean {
    try {
      return this.#counts(error)
    } catch (fault) {
      process.emitWarning(redact(`the option \`counts\` of the breaker "${this.name}" threw: ${String(fault)}`), {
        type: 'PunctualWarning',
        code: 'PUNCTUAL_COUNTS_FAILED',
      })
      return true
    }
  }

  /** Makes the call, and counts once how it ended. */
  async #watch<Value>(
    state: Closed | HalfOpen,
    parent: WaitNode,
    work: (wait: WaitContext) => Value | PromiseLike<Value>,
  ): Promise<Value> {
    const call = new BreakerCall(parent, (succeeded, error) => {
      this.#count(state, succeeded ? false : this.#isFailure(error) || undefined, error)
    })
    call.join()
    try {
      const value = await callWithin(call, work)
      call.end(true, undefined)
      return value
    } catch (error) {
      call.end(false, error)
      throw error
    } finally {
      call.leave()
    }
  }

  /** @param failed undefined if the result says nothing about the dependency */
  #count(state: Closed | HalfOpen, failed: boolean | undefined, error: unknown): void {
    if (state !== this.#state) return
    if (state.kind === 'half-open') {
      state.probing--
      if (failed === true) this.#open(state.times + 1, error)
      else if (failed === false && ++state.succeeded >= this.#probes) this.#close()
      return
    }
    if (failed === undefined) return
    const now = this.#wheel.now()
    state.failuresInARow = failed ? state.failuresInARow + 1 : 0
    this.#window?.count(failed, now)
    if (failed && this.#isTripped(state, now)) this.#open(1, error)
  }

  #isTripped({ failuresInARow }: Closed, now: number): boolean {
    const trip = this.#trip
    if (trip.kind === 'consecutive' || this.#window === null) {
      return trip.kind === 'consecutive' && failuresInARow >= trip.failures
    }
    const { calls, share } = this.#window.read(now)
    return calls >= trip.atLeast && share >= trip.share
  }

  #open(times: number, cause: unknown): void {
    const duration = Math.min(this.#maxOpenFor, this.#openFor * 2 ** (times - 1))
    this.#state = { kind: 'open', until: this.#wheel.now() + duration * (1 - 0.2 * this.#random()), times, cause }
  }

  #close(): void {
    this.#state = { kind: 'closed', failuresInARow: 0 }
    this.#window?.clear()
  }
}

/** One call, which learns when the wait or request around it is given up. */
class BreakerCall extends WaitNode {
  #ended = false
  readonly #onEnded: (succeeded: boolean, error: unknown) => void

  constructor(parent: WaitNode, onEnded: (succeeded: boolean, error: unknown) => void) {
    super(parent, parent.startedAt, parent.deadline, parent.reserve)
    this.#onEnded = onEnded
  }

  override deadlineFor(startedAt: number): number {
    return (this.parent as WaitNode).deadlineFor(startedAt)
  }

  override available(now: number): number {
    return (this.parent as WaitNode).available(now)
  }

  end(succeeded: boolean, error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#onEnded(succeeded, error)
  }

  override giveUp(reason: unknown): void {
    this.end(false, reason)
    super.giveUp(reason)
  }
}

function windowOf(what: string, trip: BreakerTrip): FailureWindow | null {
  if (trip.kind === 'consecutive') {
    readCount(what, 'trip.failures', trip.failures, 1)
    return null
  }
  readCount(what, 'trip.atLeast', trip.atLeast, 1)
  if (!(trip.share > 0 && trip.share <= 1)) {
    throw new InvalidOptionError(what, 'trip.share', trip.share, 'must be greater than 0 and at most 1')
  }
  const window = readDuration(what, 'trip.window', trip.window)
  if (window > 0 && Number.isFinite(window)) return new FailureWindow(window)
  throw new InvalidOptionError(what, 'trip.window', trip.window, "must be finite and greater than 0, e.g. '10s'")
}

/**
 * Creates a circuit breaker. Use one for each dependency that can fail on its own.
 *
 * @param name appears in errors and in the list of waits
 * @throws InvalidOptionError for an invalid option
 */
export function breaker(name: string, options: BreakerOptions = {}): Breaker {
  return new Breaker(name, options)
}

/** A window consists of so many pieces, and forgets a failure up to one piece early. */
const PIECES = 10

/** Counts the calls and failures of the last `length` milliseconds in a ring of counters. */
export class FailureWindow {
  readonly #piece: number
  readonly #calls = new Float64Array(PIECES)
  readonly #failures = new Float64Array(PIECES)
  #current = Number.NEGATIVE_INFINITY

  constructor(length: number) {
    this.#piece = length / PIECES
  }

  /** @param now milliseconds of a monotonic clock */
  count(failed: boolean, now: number): void {
    this.#turnTo(now)
    const index = this.#current % PIECES
    this.#calls[index] = (this.#calls[index] ?? 0) + 1
    if (failed) this.#failures[index] = (this.#failures[index] ?? 0) + 1
  }

  /** How many calls are in the window, and which share of them failed. */
  read(now: number): { readonly calls: number; readonly share: number } {
    this.#turnTo(now)
    const calls = this.#calls.reduce((sum, count) => sum + count, 0)
    const failures = this.#failures.reduce((sum, count) => sum + count, 0)
    return { calls, share: calls === 0 ? 0 : failures / calls }
  }

  clear(): void {
    this.#calls.fill(0)
    this.#failures.fill(0)
  }

  #turnTo(now: number): void {
    const piece = Math.floor(now / this.#piece)
    if (piece <= this.#current) return
    const first = Math.max(this.#current + 1, piece - PIECES + 1)
    for (let index = first; index <= piece; index++) {
      this.#calls[index % PIECES] = 0
      this.#failures[index % PIECES] = 0
    }
    this.#current = piece
  }
}
