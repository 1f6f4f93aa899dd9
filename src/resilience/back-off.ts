/**
 * How long to wait before a retry, spread at random so that clients that failed together do not come back together. Both are from M. Brooker,
 * "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015):
 * - `full`: anything from 0 to `base` doubled with each attempt;
 * - `decorrelated`: from `base` to three times the delay before.
 */
export type Jitter = 'full' | 'decorrelated'

export interface BackOff {
  readonly jitter: Jitter
  /** Milliseconds. */
  readonly base: number
  /** No delay is longer, in milliseconds. */
  readonly most: number
  /** Numbers from 0 up to 1. */
  readonly random: () => number
}

/**
 * The delay after an attempt that failed, in milliseconds.
 *
 * @param attempt 1 for the first
 * @param previous the delay before this attempt; 0 for the first
 */
export function delayAfter(backOff: BackOff, attempt: number, previous: number): number {
  const { jitter, base, most, random } = backOff
  if (jitter === 'full') return random() * Math.min(most, base * 2 ** (attempt - 1))
  const longest = Math.max(base, previous * 3)
  return Math.min(most, base + random() * (longest - base))
}
