import { monotonicNow } from './clock.ts'
import type { Milliseconds } from './duration.ts'

declare const instant: unique symbol

/** An instant of the monotonic clock, in milliseconds, by which something must have ended. Never wall time. */
export type Deadline = number & { readonly [instant]: true }

/** No deadline at all. */
export const NO_DEADLINE: Deadline = Number.POSITIVE_INFINITY as Deadline

/** A deadline at an instant of the monotonic clock that is known already. */
export function deadlineAt(at: number): Deadline {
  return at as Deadline
}

/** The instant `limit` milliseconds after `now` (default: the present). An unbounded limit gives no deadline. */
export function deadlineIn(limit: Milliseconds, now: number = monotonicNow()): Deadline {
  return (now + limit) as Deadline
}

/** Milliseconds left at `now` (default: the present); 0 once it has passed, unbounded without a deadline. */
export function remainingUntil(deadline: Deadline, now: number = monotonicNow()): Milliseconds {
  return Math.max(0, deadline - now) as Milliseconds
}

/** Whichever comes first. */
export function soonerOf(one: Deadline, other: Deadline): Deadline {
  return one < other ? one : other
}
