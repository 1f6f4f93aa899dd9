import { after, monotonicNow, pause } from '../../../src/resilience/clock.ts'
import type { Milliseconds } from '../../../src/resilience/duration.ts'
import { formatElapsed } from '../../../src/resilience/duration.ts'

/** Asks until the answer is true. False: the limit passed first. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  limit: Milliseconds,
  interval: Milliseconds,
): Promise<boolean> {
  const end = monotonicNow() + limit
  while (!(await condition())) {
    if (monotonicNow() >= end) return false
    await pause(interval)
  }
  return true
}

/** Waits for work that cannot be cancelled, but not for ever: rejects after `limit` with `what` in the message. */
export function within<T>(limit: Milliseconds, what: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = after(limit, () => reject(new Error(`${what} took longer than ${formatElapsed(limit)}`)))
    work.then(resolve, reject).finally(cancel)
  })
}
