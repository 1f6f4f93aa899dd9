/**
 * How the delay before a retry is randomized, so that clients that failed together do not retry
 * together. From M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015):
 * - `full`: from 0 to `initialDelay`, doubled with each attempt;
 * - `decorrelated`: from `initialDelay` to three times the previous delay.
 */
export type Jitter = 'full' | 'decorrelated'

export interface BackOff {
  readonly jitter: Jitter
  /** Milliseconds. */
  readonly initialDelay: number
  /** The longest delay, in milliseconds. */
  readonly maxDelay: number
  /** Returns numbers from 0 to 1. */
  readonly random: () => number
}

/**
 * The delay after a failed attempt, in milliseconds.
 *
 * @param attempt 1 for the first
 * @param previous the delay before this attempt; 0 for the first
 */
export function delayAfter(backOff: BackOff, attempt: number, previous: number): number {
  const { jitter, initialDelay, maxDelay, random } = backOff
  if (jitter === 'full') return random() * Math.min(maxDelay, initialDelay * 2 ** (attempt - 1))
  const longest = Math.max(initialDelay, previous * 3)
  return Math.min(maxDelay, initialDelay + random() * (longest - initialDelay))
}
