import { delayAfter } from '../resilience/back-off.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { type Duration, readDuration } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { importAgain } from './import-again.ts'
import { outsideRequests } from './outside-requests.ts'

export interface LazyOptions {
  /** How long a call waits for it, within its deadline; it goes on loading. Default `30s`. */
  readonly timeout?: Duration
  /** After a failure callers get its error for so long before it is tried again; it grows with every failure, to a minute. Default `1s`. */
  readonly retryFrom?: Duration
}

const RETRY_MOST = 60_000

/**
 * Something that is loaded at its first use: `const client = lazy(() => import('heavy-client'))`, then `(await client()).send(…)`. All callers share one
 * load, and what it gave. A load that failed is tried again by the next call after a while, growing with each failure; an ES module that threw
 * is evaluated anew.
 *
 * @throws InvalidOptionError for an invalid duration. The function throws what the load threw, or a WaitTimeoutError
 */
export function lazy<T>(name: string, load: () => PromiseLike<T> | T, options: LazyOptions = {}): () => Promise<T> {
  const limit = readDuration(`lazy "${name}"`, 'timeout', options.timeout ?? '30s')
  const base = readDuration(`lazy "${name}"`, 'retryFrom', options.retryFrom ?? '1s')
  let loading: Promise<T> | null = null
  let failed: { readonly error: unknown; readonly until: number } | null = null
  let failures = 0
  let delay = 0

  const begin = (): Promise<T> => {
    if (loading !== null) return loading
    if (failed !== null && monotonicNow() < failed.until) return Promise.reject(failed.error)
    failed = null
    loading = outsideRequests(() => importAgain(load)).catch((error: unknown) => {
      loading = null
      failures++
      delay = delayAfter(
        { jitter: 'decorrelated', initialDelay: base, maxDelay: Math.max(base, RETRY_MOST), random: Math.random },
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
    // Whoever gives up leaves the load to the others: it is no work of his that goes on.
    return withTimeout(name, limit, ({ signal }) => orAborted(begun, signal))
  }
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(resolve, reject)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
