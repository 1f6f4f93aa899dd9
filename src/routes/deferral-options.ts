import { logEvent, safeListener } from '../diagnostics/event-log.ts'
import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { type Duration, type Milliseconds, ms, readDuration } from '../resilience/duration.ts'

/** Something worth logging about deferred routes. */
export interface DeferralEvent {
  readonly type: 'loaded' | 'failed' | 'slow'
  readonly severity: 'info' | 'warn' | 'error'
  /** Where the routes are mounted. */
  readonly prefix: string
  readonly message: string
  readonly details: Readonly<DeferralEventDetails>
  readonly error?: unknown
}

/** Durations are in milliseconds. */
export interface DeferralEventDetails {
  /** Attempts so far, including this one; of `loaded` and `failed`. */
  readonly attempts?: number
  /** Duration of the load, of `loaded`; or so far, of `slow`. */
  readonly tookMs?: number
  /** Until the next attempt, of `failed`. */
  readonly retryInMs?: number
}

export interface DeferralOptions {
  /**
   * How long a request waits for routes that are not loaded, within its deadline. Default `30s`.
   */
  readonly requestTimeout?: Duration
  /**
   * After this time a load is reported as slow. It continues; other modules are loaded meanwhile.
   * Default `30s`.
   */
  readonly loadTimeout?: Duration
  /** Delay before the first retry of a failed load; it grows with each failure. Default `1s`. */
  readonly retryDelay?: Duration
  /** The longest delay before a retry. Default `60s`. */
  readonly maxRetryDelay?: Duration
  /** Receives all events. Default: they are written to the log. */
  readonly onEvent?: (event: DeferralEvent) => void
}

const OPTIONS: OptionNames<DeferralOptions> = {
  requestTimeout: true,
  loadTimeout: true,
  retryDelay: true,
  maxRetryDelay: true,
  onEvent: true,
}

/** The options with all defaults. */
export interface DeferralSettings {
  readonly prefix: string
  readonly requestTimeout: Milliseconds
  readonly loadTimeout: Milliseconds
  readonly retryDelay: Milliseconds
  readonly maxRetryDelay: Milliseconds
  readonly onEvent: (event: DeferralEvent) => void
}

/**
 * @throws InvalidOptionError for an invalid prefix or duration, also if two contradict each other
 */
export function readDeferralOptions(prefix: string, load: unknown, options: DeferralOptions): DeferralSettings {
  if (typeof prefix !== 'string' || !prefix.startsWith('/') || (prefix.length > 1 && prefix.endsWith('/'))) {
    throw new InvalidOptionError(
      'deferRoutes',
      'prefix',
      prefix,
      "must begin with / and not end with one, e.g. '/reports'",
    )
  }
  const of = `deferRoutes "${prefix}"`
  checkOptions(of, options, OPTIONS)
  if (typeof load !== 'function') {
    throw new InvalidOptionError(of, 'load', load, "must be a function, e.g. () => import('./routes.ts')")
  }
  const read = (key: keyof DeferralOptions & string, given: Duration | undefined, preset: number): Milliseconds => {
    const value = given === undefined ? ms(preset) : readDuration(of, key, given)
    if (value > 0) return value
    throw new InvalidOptionError(of, key, given, "must be greater than 0; use 'unbounded' for no timeout")
  }
  const retryDelay = read('retryDelay', options.retryDelay, 1_000)
  const maxRetryDelay = read('maxRetryDelay', options.maxRetryDelay, 60_000)
  if (retryDelay > maxRetryDelay) {
    throw new InvalidOptionError(of, 'retryDelay', options.retryDelay, 'must not be greater than maxRetryDelay')
  }
  return {
    prefix,
    requestTimeout: read('requestTimeout', options.requestTimeout, 30_000),
    loadTimeout: read('loadTimeout', options.loadTimeout, 30_000),
    retryDelay,
    maxRetryDelay,
    onEvent: safeListener<DeferralEvent>(of, options.onEvent ?? logEvent),
  }
}
