import type { DeferredModuleReport } from '../diagnostics/modules/routes-report.ts'
import { delayAfter } from '../resilience/back-off.ts'
import { after, type Cancel, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, ms } from '../resilience/duration.ts'
import type { DeferralSettings } from './deferral-options.ts'
import { importAgain } from './import-again.ts'
import { outsideRequests } from './outside-requests.ts'
import { RoutesFailedError, tellCause } from './routes-errors.ts'

/**
 * How far a module is:
 * - `waiting`: nobody has begun to load it;
 * - `loading`: its import has been called, or what it gave is being mounted;
 * - `loaded`: its routes answer. The end;
 * - `failed`: it threw, and is tried again at `retryAt`. Whoever asks before that is told so at once.
 */
type Life =
  | { readonly of: 'waiting' }
  | { readonly of: 'loading'; readonly since: number }
  | { readonly of: 'loaded' }
  | { readonly of: 'failed'; readonly retryAt: number; readonly error: unknown }

interface Waiter<Routes> {
  readonly resolve: (routes: Routes) => void
  readonly reject: (error: unknown) => void
}

/** A module with routes that is loaded when there is time, or when somebody asks for it. */
export class DeferredModule<Routes = unknown> {
  readonly settings: DeferralSettings
  readonly #load: () => PromiseLike<Routes> | Routes
  readonly #waiters = new Set<Waiter<Routes>>()
  #life: Life = { of: 'waiting' }
  #routes: Routes | undefined
  #failures = 0
  #delay = 0
  #tookMs: number | null = null
  #demanded = 0
  /** Whoever orders loads: told that it is wanted now, and that a retry has fallen due. */
  onWanted: (() => void) | null = null
  onSettled: (() => void) | null = null

  /** @param load imports the module and mounts it; what it gives serves the routes */
  constructor(settings: DeferralSettings, load: () => PromiseLike<Routes> | Routes) {
    this.settings = settings
    this.#load = load
  }

  get isDue(): boolean {
    const life = this.#life
    return life.of === 'waiting' || (life.of === 'failed' && monotonicNow() >= life.retryAt)
  }

  get isLoading(): boolean {
    return this.#life.of === 'loading'
  }

  get isLoaded(): boolean {
    return this.#life.of === 'loaded'
  }

  /** Whether it has been loaded, or has failed: nobody need wait for its first time any more. */
  get isSettled(): boolean {
    return this.#life.of === 'loaded' || this.#failures > 0
  }

  /** Somebody waits for it. */
  get isWanted(): boolean {
    return this.#waiters.size > 0
  }

  /** What serves its routes; undefined before it is loaded. */
  get routes(): Routes | undefined {
    return this.#routes
  }

  /**
   * Its routes, as soon as it is loaded; it is loaded before those that nobody asks for.
   *
   * @param signal gives up waiting, not loading
   * @throws RoutesFailedError if it has failed and is not due again, or fails
   */
  wanted(signal?: AbortSignal): Promise<Routes> {
    const life = this.#life
    if (life.of === 'loaded') return Promise.resolve(this.#routes as Routes)
    this.#demanded++
    if (life.of === 'failed' && !this.isDue) return Promise.reject(this.#failure(life.error, life.retryAt))
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject }
      this.#waiters.add(waiter)
      signal?.addEventListener('abort', () => {
        if (this.#waiters.delete(waiter)) reject(signal.reason)
      })
      this.onWanted?.()
    })
  }

  /** Loads it. Resolves when that has ended, whatever came of it; never rejects. */
  async load(): Promise<void> {
    if (!this.isDue) return
    const since = monotonicNow()
    this.#life = { of: 'loading', since }
    const stopWatching = this.#watch()
    try {
      const routes = await outsideRequests(() => importAgain(this.#load))
      this.#succeeded(routes, monotonicNow() - since)
    } catch (error) {
      this.#failed(error)
    } finally {
      stopWatching()
    }
    this.onSettled?.()
  }

  report(): DeferredModuleReport {
    const life = this.#life
    const now = monotonicNow()
    return {
      prefix: this.settings.prefix,
      state: life.of,
      failures: this.#failures,
      demanded: this.#demanded,
      waiting: this.#waiters.size,
      tookMs: life.of === 'loading' ? Math.round(now - life.since) : this.#tookMs,
      ...(life.of === 'failed'
        ? { error: tellCause(life.error).slice(0, 300), retryInMs: Math.max(0, Math.round(life.retryAt - now)) }
        : {}),
    }
  }

  #watch(): Cancel {
    const { loadTimeout, prefix } = this.settings
    const message = `the routes under ${prefix} have been loading for ${formatElapsed(loadTimeout)}; others are loaded meanwhile`
    const tell = (): void => {
      this.settings.onEvent({ type: 'slow', severity: 'warn', prefix, message, details: { tookMs: loadTimeout } })
    }
    return after(loadTimeout, tell, { keepAlive: false })
  }

  #succeeded(routes: Routes, tookMs: number): void {
    this.#routes = routes
    this.#life = { of: 'loaded' }
    this.#tookMs = Math.round(tookMs)
    const { prefix } = this.settings
    // A first success is what everybody expects, and an app may have hundreds.
    if (this.#failures > 0) {
      const details = { attempts: this.#failures + 1, tookMs: this.#tookMs }
      const message = `the routes under ${prefix} were loaded at attempt ${details.attempts}, in ${formatElapsed(tookMs)}`
      this.settings.onEvent({ type: 'loaded', severity: 'info', prefix, message, details })
    }
    for (const { resolve } of this.#take()) resolve(routes)
  }

  #failed(error: unknown): void {
    this.#failures++
    const { prefix, retryFrom, retryMost } = this.settings
    this.#delay = delayAfter(
      { jitter: 'decorrelated', initialDelay: retryFrom, maxDelay: retryMost, random: Math.random },
      this.#failures,
      this.#delay,
    )
    const retryAt = monotonicNow() + this.#delay
    const failed: Life = { of: 'failed', retryAt, error }
    this.#life = failed
    const failure = this.#failure(error, retryAt)
    const details = { attempts: this.#failures, retryInMs: Math.round(failure.retryAfter) }
    this.settings.onEvent({ type: 'failed', severity: 'error', prefix, message: failure.message, details, error })
    for (const { reject } of this.#take()) reject(failure)
    const fallDue = (): void => {
      // A timer may be a little early by the clock, and nobody looks again.
      if (this.#life === failed) this.#life = { ...failed, retryAt: Math.min(retryAt, monotonicNow()) }
      this.onWanted?.()
    }
    after(ms(this.#delay), fallDue, { keepAlive: false })
  }

  #failure(error: unknown, retryAt: number): RoutesFailedError {
    return new RoutesFailedError(this.settings.prefix, this.#failures, Math.max(0, retryAt - monotonicNow()), error)
  }

  #take(): Waiter<Routes>[] {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    return waiters
  }
}
