import { reportLeak } from '../diagnostics/leak-report.ts'
import { type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, ms } from '../resilience/duration.ts'
import type { Borrow } from './borrow.ts'
import type { TellPoolEvent } from './pool-events.ts'
import { type HealthLevel, healthLine, type PoolHealth } from './pool-health.ts'
import type { GuardSettings } from './pool-options.ts'

const LOOK_EVERY = ms(1_000)
const REPEAT_AFTER = 60_000
/** A better level counts once it has held for this long, so that a pool on the edge of two does not fill the log. */
const BETTER_HOLDS = 5_000

const RANK: Readonly<Record<HealthLevel, number>> = { HEALTHY: 0, NORMAL: 1, WARNING: 2, CRITICAL: 3 }
const SEVERITY = { HEALTHY: 'info', NORMAL: 'info', WARNING: 'warn', CRITICAL: 'error' } as const

/** What the watch looks at, and whom it tells. */
export interface Watched {
  readonly settings: GuardSettings
  health(): PoolHealth
  borrows(): Iterable<Borrow>
  reclaim(borrow: Borrow): void
  readonly tell: TellPoolEvent
}

/** Looks at a pool every second while it is open. Does not keep the process alive. */
export class PoolWatch {
  readonly #pool: Watched
  readonly #stop: Cancel
  #level: HealthLevel = 'HEALTHY'
  #toldAt = 0
  #worseUntil = 0

  constructor(pool: Watched) {
    this.#pool = pool
    this.#stop = every(LOOK_EVERY, () => this.look())
  }

  stop(): void {
    this.#stop()
  }

  /** @param now monotonic milliseconds */
  look(now: number = monotonicNow()): void {
    const health = this.#pool.health()
    if (RANK[health.level] >= RANK[this.#level]) this.#worseUntil = now
    const worse = RANK[health.level] > RANK[this.#level]
    const better = health.level !== this.#level && !worse && now - this.#worseUntil >= BETTER_HOLDS
    const still = this.#level !== 'HEALTHY' && health.level === this.#level && now - this.#toldAt >= REPEAT_AFTER
    if (worse || better || still) {
      this.#level = health.level
      this.#toldAt = now
      this.#worseUntil = now
      this.#pool.tell('level', SEVERITY[health.level], healthLine(health), {})
    }
    this.#lookForLeaks()
  }

  #lookForLeaks(): void {
    const { name, leakThreshold, reclaimTimeout } = this.#pool.settings
    for (const borrow of this.#pool.borrows()) {
      const { age } = borrow
      if (age >= reclaimTimeout) {
        const facts = { borrower: borrow.by, heldForMs: Math.round(age) }
        this.#pool.tell(
          'reclaimed',
          'error',
          `pool ${name} took back a connection that ${facts.borrower} borrowed ${formatElapsed(age)} ago; it was destroyed`,
          facts,
        )
        this.#pool.reclaim(borrow)
      } else if (age >= leakThreshold && !borrow.reported) {
        borrow.reported = true
        const facts = { borrower: borrow.by, heldForMs: Math.round(age) }
        reportLeak({ pool: name, ...facts })
        this.#pool.tell(
          'leak',
          'error',
          `pool ${name} has lent a connection for ${formatElapsed(age)} to ${facts.borrower}; a borrower that forgets to call release() runs the pool dry`,
          facts,
        )
      }
    }
  }
}
