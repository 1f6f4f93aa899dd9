import { monotonicNow, pause } from '../../../src/resilience/clock.ts'
import type { Milliseconds } from '../../../src/resilience/duration.ts'
import { formatElapsed } from '../../../src/resilience/duration.ts'
import { waitAtMost } from '../../../src/resilience/wait-at-most.ts'

/** Polls until the condition is true. Returns false if the timeout passes first. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  timeout: Milliseconds,
  interval: Milliseconds,
): Promise<boolean> {
  const end = monotonicNow() + timeout
  while (!(await condition())) {
    if (monotonicNow() >= end) return false
    await pause(interval)
  }
  return true
}

/**
 * Waits for work that cannot be cancelled. Rejects with `what` in the message after the timeout.
 */
export function within<T>(timeout: Milliseconds, what: string, work: Promise<T>): Promise<T> {
  return waitAtMost(timeout, work, () => {
    throw new Error(`${what} timed out after ${formatElapsed(timeout)}`)
  })
}
