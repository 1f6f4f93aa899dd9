import { reportLeak } from '../diagnostics/incident.ts'
import { LogThrottle } from '../diagnostics/log-throttle.ts'
import { type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, ms } from '../resilience/duration.ts'
import type { Checkout } from './checkout.ts'
import {
  type CheckoutFacts,
  formatHealth,
  type HealthLevel,
  type PoolHealth,
  type SendPoolEvent,
} from './pool-health.ts'
import type { GuardSettings } from './pool-options.ts'

const INTERVAL = ms(1_000)
const REPEAT_AFTER = ms(60_000)
/**
 * A better level is logged once it has held for this long, so that a pool between two levels does
 * not flood the log.
 */
const BETTER_HOLDS = 5_000

const RANK: Readonly<Record<HealthLevel, number>> = { HEALTHY: 0, NORMAL: 1, WARNING: 2, CRITICAL: 3 }
const SEVERITY = { HEALTHY: 'info', NORMAL: 'info', WARNING: 'warn', CRITICAL: 'error' } as const

/** The part of a pool that its monitor needs. */
export interface MonitoredPool {
  readonly settings: GuardSettings
  health(): PoolHealth
  checkouts(): Iterable<Checkout>
  reclaim(checkout: Checkout): void
  readonly sendEvent: SendPoolEvent
}

/** Checks the level and the checkouts of a pool every second. Does not keep the process alive. */
export class PoolMonitor {
  readonly #pool: MonitoredPool
  readonly #stop: Cancel
  readonly #throttle = new LogThrottle(REPEAT_AFTER)
  #level: HealthLevel = 'HEALTHY'
  #notBetterUntil = 0

  constructor(pool: MonitoredPool) {
    this.#pool = pool
    this.#stop = every(INTERVAL, () => this.check())
  }

  stop(): void {
    this.#stop()
  }

  /** @param now monotonic milliseconds */
  check(now: number = monotonicNow()): void {
    const health = this.#pool.health()
    if (RANK[health.level] >= RANK[this.#level]) this.#notBetterUntil = now
    const isWorse = RANK[health.level] > RANK[this.#level]
    const isBetter = health.level !== this.#level && !isWorse && now - this.#notBetterUntil >= BETTER_HOLDS
    const isStill = this.#level !== 'HEALTHY' && health.level === this.#level && this.#throttle.isDue(now)
    if (isWorse || isBetter || isStill) {
      this.#level = health.level
      this.#throttle.logged(now)
      this.#notBetterUntil = now
      this.#pool.sendEvent('level', SEVERITY[health.level], formatHealth(health), {})
    }
    this.#checkCheckouts()
  }

  #checkCheckouts(): void {
    const { name, leakThreshold, reclaimTimeout } = this.#pool.settings
    for (const checkout of this.#pool.checkouts()) {
      const { age } = checkout
      if (age >= reclaimTimeout) {
        const facts = { borrower: checkout.by, heldForMs: Math.round(age) }
        const message = `${format(name, facts)}; it is reclaimed and destroyed`
        this.#pool.sendEvent('reclaimed', 'error', message, facts)
        this.#pool.reclaim(checkout)
      } else if (age >= leakThreshold && !checkout.isReported) {
        checkout.isReported = true
        const facts = { borrower: checkout.by, heldForMs: Math.round(age) }
        reportLeak({ pool: name, ...facts })
        const message = `${format(name, facts)}; call release(), or the pool runs out of connections`
        this.#pool.sendEvent('leak', 'error', message, facts)
      }
    }
  }
}

function format(pool: string, { borrower, heldForMs }: CheckoutFacts): string {
  return `pool ${pool}: connection checked out for ${formatElapsed(heldForMs)} by ${borrower}`
}
