import { ProcessGlobal } from '../system/process-global.ts'
import type { Milliseconds } from './duration.ts'

/**
 * Clock, timers and deadlines. `npm run check` lets no other module use `setTimeout`, `setInterval`
 * or `Date`, so that every wait in Punctual can be named and bounded.
 */

const { performance } = globalThis

/**
 * The timers and clocks of Node.js as they were when Punctual was loaded, before the app. Libraries
 * replace the globals: fake timers in end-to-end tests, zone.js. A deadline that waited on their
 * timers would never end, and one timer that was lost is enough. All copies of Punctual in this
 * process share them, because the app's own copy may be loaded later.
 */
export const platform: {
  readonly setTimeout: typeof globalThis.setTimeout
  readonly clearTimeout: typeof globalThis.clearTimeout
  readonly setInterval: typeof globalThis.setInterval
  readonly clearInterval: typeof globalThis.clearInterval
  readonly setImmediate: typeof globalThis.setImmediate
  readonly clearImmediate: typeof globalThis.clearImmediate
  readonly queueMicrotask: typeof globalThis.queueMicrotask
  readonly Date: DateConstructor
  /** `performance.now()`: milliseconds since this thread was started. */
  readonly now: () => number
  /** `process.hrtime.bigint()`: nanoseconds of the clock that all processes share. */
  readonly hrtime: () => bigint
} = new ProcessGlobal<typeof platform>('timers').getOrCreate(() => ({
  setTimeout,
  clearTimeout,
  setInterval,
  clearInterval,
  setImmediate,
  clearImmediate,
  queueMicrotask,
  Date,
  now: performance.now.bind(performance),
  hrtime: process.hrtime.bigint,
}))

// A constant, so that reading the clock needs no look-up.
const { now: readClock } = platform

// `performance.now()` is three times cheaper than `process.hrtime.bigint()`, but counts from the
// start of its own thread.
const origin = originOfPerformance()

/**
 * A delay between the two readings makes the origin too early, never too late, so the latest sample
 * is the best.
 */
function originOfPerformance(): number {
  let origin = Number.NEGATIVE_INFINITY
  for (let sample = 0; sample < 5; sample++) {
    origin = Math.max(origin, Number(platform.hrtime()) / 1e6 - readClock())
  }
  return origin
}

/** The monotonic clock in milliseconds, the same in all threads and processes of this machine. */
export function monotonicNow(): Milliseconds {
  return (origin + readClock()) as Milliseconds
}

/** Wall time, for people and file names. Not for durations. */
export function wallClock(): Date {
  return new platform.Date()
}

/** Cancels a timer; may be called twice, and after the timer has run. */
export type Cancel = () => void

export interface TimerOptions {
  /**
   * Whether a pending timer keeps the process alive. Default: true for `after`, false for `every`.
   */
  readonly keepAlive?: boolean
}

const MAX_TIMER = 2 ** 31 - 1

/**
 * Calls `run` once after `delay` milliseconds. With an unbounded delay it never runs, and there is
 * no timer.
 */
export function after(delay: Milliseconds, run: () => void, options: TimerOptions = {}): Cancel {
  if (delay === Number.POSITIVE_INFINITY) return () => {}
  const timer = platform.setTimeout(run, Math.min(delay, MAX_TIMER))
  if (options.keepAlive === false) timer.unref()
  return () => platform.clearTimeout(timer)
}

/** Calls `run` every `interval` milliseconds until cancelled. */
export function every(interval: Milliseconds, run: () => void, options: TimerOptions = {}): Cancel {
  const timer = platform.setInterval(run, interval)
  if (options.keepAlive !== true) timer.unref()
  return () => platform.clearInterval(timer)
}

/** Calls `run` once, after the event loop has read its I/O. */
export function afterIo(run: () => void): Cancel {
  const immediate = platform.setImmediate(run)
  return () => platform.clearImmediate(immediate)
}

/** Calls `run` when the code that runs now, and the promises that it settles, are done. */
export function asMicrotask(run: () => void): void {
  platform.queueMicrotask(run)
}

/** Resolves after `delay` milliseconds. */
export function pause(delay: Milliseconds, options?: TimerOptions): Promise<void> {
  return new Promise((resolve) => {
    after(delay, resolve, options)
  })
}

declare const instant: unique symbol

/** An instant of the monotonic clock, in milliseconds, by which something must end. */
export type Deadline = number & { readonly [instant]: true }

/** No deadline. */
export const NO_DEADLINE: Deadline = Number.POSITIVE_INFINITY as Deadline

/** A deadline from an instant of the monotonic clock. */
export function deadlineAt(at: number): Deadline {
  return at as Deadline
}

/** The deadline `timeout` milliseconds after `now`. An unbounded timeout gives no deadline. */
export function deadlineIn(timeout: Milliseconds, now: number = monotonicNow()): Deadline {
  return (now + timeout) as Deadline
}

/** Milliseconds from `now` to the deadline; 0 once it has passed, unbounded without a deadline. */
export function remainingUntil(deadline: Deadline, now: number = monotonicNow()): Milliseconds {
  return Math.max(0, deadline - now) as Milliseconds
}

/** The earlier of two deadlines. */
export function soonerOf(one: Deadline, other: Deadline): Deadline {
  return one < other ? one : other
}
