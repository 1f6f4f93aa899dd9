import { safeListener } from '../diagnostics/safe-listener.ts'
import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { type Duration, type Milliseconds, ms, readDuration } from '../resilience/duration.ts'

/** Something worth a line in the log. */
export interface DeferralEvent {
  readonly type: 'loaded' | 'failed' | 'slow'
  readonly severity: 'info' | 'warn' | 'error'
  /** Where the routes are mounted. */
  readonly prefix: string
  readonly message: string
  readonly details: Readonly<DeferralEventDetails>
  readonly error?: unknown
}

/** Durations in milliseconds. */
export interface DeferralEventDetails {
  /** Attempts so far, this one included; of `loaded` and `failed`. */
  readonly attempts?: number
  /** How long it took, of `loaded`; how long it has been loading, of `slow`. */
  readonly tookMs?: number
  /** Until the next attempt, of `failed`. */
  readonly retryInMs?: number
}

export interface DeferralOptions {
  /** How long a request for routes that are not loaded waits for them, within its deadline. Default `30s`. */
  readonly requestTimeout?: Duration
  /** After so long the module is said to load slowly; it goes on, and whoever asks meanwhile waits no longer. Default `30s`. */
  readonly loadTimeout?: Duration
  /** The delay before a module that failed is tried again: the first, from which it grows. Default `1s`. */
  readonly retryFrom?: Duration
  /** No delay is longer. Default `60s`. */
  readonly retryMost?: Duration
  /** Told of everything worth a line. Default: the line goes to the console. */
  readonly onEvent?: (event: DeferralEvent) => void
}

/** The options with every default filled in. */
export interface DeferralSettings {
  readonly prefix: string
  readonly requestLimit: Milliseconds
  readonly loadTimeout: Milliseconds
  readonly retryFrom: Milliseconds
  readonly retryMost: Milliseconds
  readonly onEvent: (event: DeferralEvent) => void
}

/** @throws InvalidOptionError for a prefix or a duration that is invalid, also where two do not go together */
export function readDeferralOptions(prefix: string, load: unknown, options: DeferralOptions): DeferralSettings {
  if (typeof prefix !== 'string' || !prefix.startsWith('/') || (prefix.length > 1 && prefix.endsWith('/'))) {
    throw new InvalidOptionError(
      'deferRoutes',
      'prefix',
      prefix,
      "must begin with / and not end with one, e.g. '/reports'",
    )
  }
  const where = `deferRoutes "${prefix}"`
  if (typeof load !== 'function') {
    throw new InvalidOptionError(where, 'load', load, "must be a function, e.g. () => import('./routes.ts')")
  }
  const limit = (key: keyof DeferralOptions & string, given: Duration | undefined, preset: number): Milliseconds => {
    const value = given === undefined ? ms(preset) : readDuration(where, key, given)
    if (value > 0) return value
    throw new InvalidOptionError(where, key, given, "must be greater than 0; use 'unbounded' for no limit")
  }
  const retryFrom = limit('retryFrom', options.retryFrom, 1_000)
  const retryMost = limit('retryMost', options.retryMost, 60_000)
  if (retryFrom > retryMost) {
    throw new InvalidOptionError(where, 'retryFrom', options.retryFrom, 'must not be greater than retryMost')
  }
  return {
    prefix,
    requestLimit: limit('requestTimeout', options.requestTimeout, 30_000),
    loadTimeout: limit('loadTimeout', options.loadTimeout, 30_000),
    retryFrom,
    retryMost,
    onEvent: safeListener(where, options.onEvent ?? tellConsole),
  }
}

function tellConsole({ severity, message, error }: DeferralEvent): void {
  if (error === undefined) console[severity](`punctual: ${message}`)
  else console[severity](`punctual: ${message}:`, error)
}
