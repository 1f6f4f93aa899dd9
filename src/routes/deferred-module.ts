import { delayAfter } from '../resilience/back-off.ts'
import { after, type Cancel, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, ms } from '../resilience/duration.ts'
import type { DeferralSettings } from './deferral-options.ts'
import { importAgain } from './import-again.ts'
import { formatCause, RoutesFailedError } from './routes-errors.ts'
import type { DeferredModuleReport } from './routes-report.ts'

/**
 * - `waiting`: loading has not started;
 * - `loading`: it is being imported, or its default export is being mounted;
 * - `loaded`: its routes answer. Final;
 * - `failed`: it threw, and is retried at `retryAt`. Until then requests fail at once.
 */
type State =
  | { readonly is: 'waiting' }
  | { readonly is: 'loading'; readonly since: number }
  | { readonly is: 'loaded' }
  | { readonly is: 'failed'; readonly retryAt: number; readonly error: unknown }

interface Waiter<Routes> {
  readonly resolve: (routes: Routes) => void
  readonly reject: (error: unknown) => void
}

/** A module with routes that is loaded after the worker is ready, or when a request needs it. */
export class DeferredModule<Routes = unknown> {
  readonly settings: DeferralSettings
  readonly #load: () => PromiseLike<Routes> | Routes
  readonly #waiters = new Set<Waiter<Routes>>()
  #state: State = { is: 'waiting' }
  #routes: Routes | undefined
  #failures = 0
  #delay = 0
  #tookMs: number | null = null
  #demanded = 0
  /** Called when a request needs it, and when a retry is due. */
  onRequested: (() => void) | null = null
  /** Called when a load has ended. */
  onSettled: (() => void) | null = null

  /** @param load imports the module and mounts it; its result serves the routes */
  constructor(settings: DeferralSettings, load: () => PromiseLike<Routes> | Routes) {
    this.settings = settings
    this.#load = load
  }

  /** It may be loaded now. */
  get isDue(): boolean {
    const state = this.#state
    return state.is === 'waiting' || (state.is === 'failed' && monotonicNow() >= state.retryAt)
  }

  get isLoading(): boolean {
    return this.#state.is === 'loading'
  }

  get isLoaded(): boolean {
    return this.#state.is === 'loaded'
  }

  /** It has been loaded, or has failed at least once. */
  get isSettled(): boolean {
    return this.#state.is === 'loaded' || this.#failures > 0
  }

  /** A request waits for it. */
  get isRequested(): boolean {
    return this.#waiters.size > 0
  }

  /** Serves its routes; undefined until it is loaded. */
  get routes(): Routes | undefined {
    return this.#routes
  }

  /**
   * Requests its routes. It is loaded before modules that no request needs.
   *
   * @param signal ends the wait, not the load
   * @throws RoutesFailedError if it fails, or has failed and is not due
   */
  request(signal?: AbortSignal): Promise<Routes> {
    const state = this.#state
    if (state.is === 'loaded') return Promise.resolve(this.#routes as Routes)
    this.#demanded++
    if (state.is === 'failed' && !this.isDue) return Promise.reject(this.#failure(state.error, state.retryAt))
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject }
      this.#waiters.add(waiter)
      signal?.addEventListener('abort', () => {
        if (this.#waiters.delete(waiter)) reject(signal.reason)
      })
      this.onRequested?.()
    })
  }

  /** Loads it. Resolves when that has ended, in either way; never rejects. */
  async load(): Promise<void> {
    if (!this.isDue) return
    const since = monotonicNow()
    this.#state = { is: 'loading', since }
    const stopWatching = this.#reportIfSlow()
    try {
      const routes = await importAgain(this.#load)
      this.#succeeded(routes, monotonicNow() - since)
    } catch (error) {
      this.#failed(error)
    } finally {
      stopWatching()
    }
    this.onSettled?.()
  }

  report(): DeferredModuleReport {
    const state = this.#state
    const now = monotonicNow()
    return {
      prefix: this.settings.prefix,
      state: state.is,
      failures: this.#failures,
      demanded: this.#demanded,
      waiting: this.#waiters.size,
      tookMs: state.is === 'loading' ? Math.round(now - state.since) : this.#tookMs,
      ...(state.is === 'failed'
        ? { error: formatCause(state.error).slice(0, 300), retryInMs: Math.max(0, Math.round(state.retryAt - now)) }
        : {}),
    }
  }

  #reportIfSlow(): Cancel {
    const { loadTimeout, prefix, onEvent } = this.settings
    const message = `routes under ${prefix} have been loading for ${formatElapsed(loadTimeout)}; other modules are loaded meanwhile`
    const report = (): void => {
      onEvent({ type: 'slow', severity: 'warn', prefix, message, details: { tookMs: loadTimeout } })
    }
    return after(loadTimeout, report, { keepAlive: false })
  }

  #succeeded(routes: Routes, tookMs: number): void {
    this.#routes = routes
    this.#state = { is: 'loaded' }
    this.#tookMs = Math.round(tookMs)
    const { prefix, onEvent } = this.settings
    // A first success is normal, and an app may have hundreds.
    if (this.#failures > 0) {
      const details = { attempts: this.#failures + 1, tookMs: this.#tookMs }
      const message = `routes under ${prefix} loaded at attempt ${details.attempts}, in ${formatElapsed(tookMs)}`
      onEvent({ type: 'loaded', severity: 'info', prefix, message, details })
    }
    for (const { resolve } of this.#takeWaiters()) resolve(routes)
  }

  #failed(error: unknown): void {
    this.#failures++
    const { prefix, retryDelay, maxRetryDelay, onEvent } = this.settings
    this.#delay = delayAfter(
      { jitter: 'decorrelated', initialDelay: retryDelay, maxDelay: maxRetryDelay, random: Math.random },
      this.#failures,
      this.#delay,
    )
    const retryAt = monotonicNow() + this.#delay
    const failed: State = { is: 'failed', retryAt, error }
    this.#state = failed
    const failure = this.#failure(error, retryAt)
    const details = { attempts: this.#failures, retryInMs: Math.round(failure.retryAfter) }
    onEvent({ type: 'failed', severity: 'error', prefix, message: failure.message, details, error })
    for (const { reject } of this.#takeWaiters()) reject(failure)
    const becomeDue = (): void => {
      // The timer may fire slightly early, and there is no second one.
      if (this.#state === failed) this.#state = { ...failed, retryAt: Math.min(retryAt, monotonicNow()) }
      this.onRequested?.()
    }
    after(ms(this.#delay), becomeDue, { keepAlive: false })
  }

  #failure(error: unknown, retryAt: number): RoutesFailedError {
    return new RoutesFailedError(this.settings.prefix, this.#failures, Math.max(0, retryAt - monotonicNow()), error)
  }

  #takeWaiters(): Waiter<Routes>[] {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    return waiters
  }
}
