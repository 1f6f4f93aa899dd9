import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { delayAfter } from '../resilience/back-off.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { type Duration, readDuration } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { importAgain } from './import-again.ts'

export interface LazyOptions {
  /** How long a call waits for it, within its deadline; loading continues. Default `30s`. */
  readonly timeout?: Duration
  /**
   * For how long callers get the error of a failed load before it is retried. It grows with each
   * failure, up to a minute. Default `1s`.
   */
  readonly retryDelay?: Duration
}

const OPTIONS: OptionNames<LazyOptions> = { timeout: true, retryDelay: true }

const MAX_RETRY_DELAY = 60_000

/**
 * Loads something on first use: `const client = lazy('client', () => import('heavy-client'))`, then
 * `(await client()).send(…)`. All callers share one load and its result. A failed load is retried
 * by a later call, after a delay that grows with each failure; an ES module that threw is evaluated
 * again.
 *
 * @param name of the wait, in the log and in errors
 * @returns rejects with the error of the load, or with a WaitTimeoutError
 * @throws InvalidOptionError for an invalid duration
 */
export function lazy<T>(name: string, load: () => PromiseLike<T> | T, options: LazyOptions = {}): () => Promise<T> {
  checkOptions(`lazy "${name}"`, options, OPTIONS)
  const timeout = readDuration(`lazy "${name}"`, 'timeout', options.timeout ?? '30s')
  const base = readDuration(`lazy "${name}"`, 'retryDelay', options.retryDelay ?? '1s')
  let loading: Promise<T> | null = null
  let failed: { readonly error: unknown; readonly until: number } | null = null
  let failures = 0
  let delay = 0

  const begin = (): Promise<T> => {
    if (loading !== null) return loading
    if (failed !== null && monotonicNow() < failed.until) return Promise.reject(failed.error)
    failed = null
    loading = importAgain(load).catch((error: unknown) => {
      loading = null
      failures++
      delay = delayAfter(
        { jitter: 'decorrelated', initialDelay: base, maxDelay: Math.max(base, MAX_RETRY_DELAY), random: Math.random },
        failures,
        delay,
      )
      failed = { error, until: monotonicNow() + delay }
      throw error
    })
    return loading
  }
  let loaded: Promise<T> | null = null
  return () => {
    if (loaded !== null) return loaded
    const begun = begin()
    begun.then(
      () => {
        loaded = begun
      },
      () => {},
    )
    // A caller that times out leaves the load to the others, so it abandons nothing.
    return withTimeout(name, timeout, ({ signal }) => orAborted(begun, signal))
  }
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(resolve, reject)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
