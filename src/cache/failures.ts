import { LRUCache } from 'lru-cache'

/** A load that failed, and has not succeeded since. */
export interface LoadFailure {
  readonly error: unknown
  /** How often in a row. */
  readonly times: number
  /** Nothing is loaded before, in milliseconds of the monotonic clock. */
  readonly until: number
}

const MOST_REMEMBERED = 10_000
/** Milliseconds. */
const LONGEST = 10_000

/** Keys whose last load failed: each is left alone for a moment, longer each time, so that what is ill is not asked by everybody at once. */
export class Failures {
  readonly #byKey = new LRUCache<string, LoadFailure>({ max: MOST_REMEMBERED })
  readonly #base: number
  readonly #random: () => number

  /** @param base the first delay is at least half of this, in milliseconds; 0 for none */
  constructor(base: number, random: () => number) {
    this.#base = base
    this.#random = random
  }

  of(key: string): LoadFailure | undefined {
    return this.#byKey.size === 0 ? undefined : this.#byKey.get(key)
  }

  add(key: string, error: unknown, now: number): void {
    const times = (this.of(key)?.times ?? 0) + 1
    const most = Math.max(this.#base, LONGEST)
    // Half of it for certain: those who come right after must find it.
    const half = Math.min(most, this.#base * 2 ** Math.min(times - 1, 30)) / 2
    const delay = half + this.#random() * half
    this.#byKey.set(key, { error, times, until: now + delay })
  }

  remove(key: string): void {
    if (this.#byKey.size > 0) this.#byKey.delete(key)
  }

  clear(): void {
    this.#byKey.clear()
  }
}
