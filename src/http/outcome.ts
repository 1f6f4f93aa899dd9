import type { Outcome } from '../diagnostics/outcomes.ts'
import type { RequestScope } from './scope.ts'

/** To be asked when it has ended. */
export function outcomeOf(scope: RequestScope): Outcome {
  if (scope.forcedOutcome !== null) return scope.forcedOutcome
  const { statusCode } = scope.response
  const { hasWaited } = scope
  if (statusCode >= 500) return hasWaited && isTimeOut(statusCode) && ranOut(scope) ? 'timed-out' : 'failed'
  return hasWaited && scope.waits.count('degraded') > 0 ? 'degraded' : 'completed'
}

function isTimeOut(status: number): boolean {
  return status === 503 || status === 504
}

function ranOut({ waits }: RequestScope): boolean {
  return waits.count('timed-out') > 0 || waits.count('refused') > 0
}
