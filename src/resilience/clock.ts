import type { Milliseconds } from './duration.ts'

/**
 * The clock and the timers of the house. `src/resilience` is the only room that may touch the
 * platform's own (`npm run check` sees to it), so that every wait in Punctual has passed through a
 * door where it can be named.
 */

// The global itself is a getter, which costs as much as the reading.
const { performance } = globalThis

// `performance.now()` is three times cheaper than `process.hrtime.bigint()`, but counts from the
// start of its own thread.
const origin = originOfPerformance()

/**
 * A thread may be held up between the two readings, which makes the origin too early, never too
 * late: the latest of a few is the best.
 */
function originOfPerformance(): number {
  let origin = Number.NEGATIVE_INFINITY
  for (let sample = 0; sample < 5; sample++) {
    origin = Math.max(origin, Number(process.hrtime.bigint()) / 1e6 - performance.now())
  }
  return origin
}

/**
 * Milliseconds of the machine's monotonic clock, the same in every thread and process of this
 * machine. Never wall time.
 */
export function monotonicNow(): Milliseconds {
  return (origin + performance.now()) as Milliseconds
}

/** Wall time, for people and file names; durations are never computed from it. */
export function wallClock(): Date {
  return new Date()
}

/** Stops a timer; safe to call twice, and after the timer has run. */
export type Cancel = () => void

export interface TimerOptions {
  /**
   * Keep the process alive while the timer is pending. Default: true for `after`, false for
   * `every`.
   */
  readonly keepAlive?: boolean
}

const LONGEST_TIMER = 2 ** 31 - 1

/**
 * Calls `run` once, `limit` milliseconds from now. An unbounded limit never runs, and costs
 * nothing.
 */
export function after(limit: Milliseconds, run: () => void, options: TimerOptions = {}): Cancel {
  if (limit === Number.POSITIVE_INFINITY) return () => {}
  const timer = setTimeout(run, Math.min(limit, LONGEST_TIMER))
  if (options.keepAlive === false) timer.unref()
  return () => clearTimeout(timer)
}

/** Calls `run` every `interval` milliseconds until cancelled. */
export function every(interval: Milliseconds, run: () => void, options: TimerOptions = {}): Cancel {
  const timer = setInterval(run, interval)
  if (options.keepAlive !== true) timer.unref()
  return () => clearInterval(timer)
}

/** Resolves after `limit` milliseconds. */
export function pause(limit: Milliseconds, options?: TimerOptions): Promise<void> {
  return new Promise((resolve) => {
    after(limit, resolve, options)
  })
}

declare const instant: unique symbol

/**
 * An instant of the monotonic clock, in milliseconds, by which something must have ended. Never
 * wall time.
 */
export type Deadline = number & { readonly [instant]: true }

/** No deadline at all. */
export const NO_DEADLINE: Deadline = Number.POSITIVE_INFINITY as Deadline

/** A deadline at an instant of the monotonic clock that is known already. */
export function deadlineAt(at: number): Deadline {
  return at as Deadline
}

/**
 * The instant `limit` milliseconds after `now` (default: the present). An unbounded limit gives no
 * deadline.
 */
export function deadlineIn(limit: Milliseconds, now: number = monotonicNow()): Deadline {
  return (now + limit) as Deadline
}

/**
 * Milliseconds left at `now` (default: the present); 0 once it has passed, unbounded without a
 * deadline.
 */
export function remainingUntil(deadline: Deadline, now: number = monotonicNow()): Milliseconds {
  return Math.max(0, deadline - now) as Milliseconds
}

/** Whichever comes first. */
export function soonerOf(one: Deadline, other: Deadline): Deadline {
  return one < other ? one : other
}
