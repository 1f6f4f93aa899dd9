/** Stacks a second that are noted in this process: under a percent of its time. Beyond, some requests are looked at and others are not. */
const STACKS = 600
const SECOND = 1_000
/** Repeats that were told lately are looked at this seldom, in milliseconds, to be counted by place. */
const KNOWN_EVERY = 1_000

let since = Number.NEGATIVE_INFINITY
let left = STACKS

/** Whether the next stack may be noted. */
export function takeStack(now: number): boolean {
  if (now - since >= SECOND) {
    since = now
    left = STACKS
  }
  if (left === 0) return false
  left--
  return true
}

/** When a fingerprint whose repeats have been looked at now is to be looked at again. */
export function nextLook(now: number): number {
  return now + KNOWN_EVERY
}
