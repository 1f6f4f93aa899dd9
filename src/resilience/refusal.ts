import { PunctualError } from '../errors/punctual-error.ts'
import { isAbortReason, isTimeout } from './abort-reason.ts'
import { ms } from './duration.ts'
import type { WaitNode } from './wait-node.ts'

/** Writes down that something was not begun at all. */
export function recordRefusal(parent: WaitNode, name: string): void {
  if (parent.home === null) return
  const now = parent.wheel.now()
  const record = { name, startedAt: now, timeout: ms(0), outcome: 'refused', endedAt: now } as const
  parent.home.waits.begin(record)
  parent.home.waits.end(record)
}

/**
 * Whether the error is a failure of the work itself, time-outs included. Not, where the work was not begun (too little time, a full bulkhead, an open
 * breaker) or given up for a reason that is no time-out: that says nothing about what it depends on, and trying again cannot help.
 */
export function isFailureOfWork(error: unknown): boolean {
  if (isTimeout(error)) return (error as { readonly started?: boolean }).started !== false
  if (isAbortReason(error)) return false
  const code = error instanceof PunctualError ? error.code : undefined
  return code !== 'PUNCTUAL_BREAKER_OPEN' && code !== 'PUNCTUAL_BULKHEAD_FULL'
}
