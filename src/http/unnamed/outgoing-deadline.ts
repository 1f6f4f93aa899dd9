import { monotonicNow } from '../../resilience/clock.ts'
import { currentParent } from '../../resilience/wait-scope.ts'
import type { RequestScope } from '../scope.ts'

/** What a call on behalf of a request says it may take. Punctual reads it on the other side, and so may anybody else. */
export const DEADLINE_HEADER = 'X-Request-Deadline'

/**
 * Whole milliseconds that are left to a call beginning now: of the request, or of the wait it is begun in. Null without a deadline.
 */
export function leftForCall(scope: RequestScope): string | null {
  const left = Math.min(scope.deadline, currentParent().deadline) - monotonicNow()
  return left === Number.POSITIVE_INFINITY ? null : String(Math.max(0, Math.floor(left)))
}
