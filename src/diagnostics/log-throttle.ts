import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'

/** Allows one line in each interval. The caller counts what it suppresses. */
export class LogThrottle {
  readonly #interval: Milliseconds
  #loggedAt = Number.NEGATIVE_INFINITY

  constructor(interval: Milliseconds) {
    this.#interval = interval
  }

  /** Whether to log now. If so, the interval begins. */
  shouldLog(now: number = monotonicNow()): boolean {
    if (!this.isDue(now)) return false
    this.#loggedAt = now
    return true
  }

  /** Whether a line is allowed now, without using it up. */
  isDue(now: number = monotonicNow()): boolean {
    return now - this.#loggedAt >= this.#interval
  }

  /** Something was logged without asking: the interval begins. */
  logged(now: number = monotonicNow()): void {
    this.#loggedAt = now
  }
}

/** A throttle for each key. Beyond `maxKeys` the least recently logged key is forgotten. */
export class KeyedLogThrottle {
  readonly #interval: Milliseconds
  readonly #maxKeys: number
  /** The key that was logged longest ago first: a `Map` keeps the order of insertion. */
  readonly #loggedAt = new Map<string, number>()

  constructor(interval: Milliseconds, maxKeys: number) {
    this.#interval = interval
    this.#maxKeys = maxKeys
  }

  shouldLog(key: string, now: number = monotonicNow()): boolean {
    const last = this.#loggedAt.get(key)
    if (last !== undefined && now - last < this.#interval) return false
    this.#loggedAt.delete(key)
    this.#loggedAt.set(key, now)
    if (this.#loggedAt.size > this.#maxKeys) {
      const [oldest] = this.#loggedAt.keys()
      if (oldest !== undefined) this.#loggedAt.delete(oldest)
    }
    return true
  }
}
