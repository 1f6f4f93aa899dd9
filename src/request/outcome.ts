import type { Outcome } from '../report/outcomes.ts'
import type { RequestScope } from './scope.ts'

/** To be asked when it has ended. */
export function outcomeOf(scope: RequestScope): Outcome {
  if (scope.verdict !== null) return scope.verdict
  const { statusCode } = scope.response
  const { hasWaited } = scope
  if (statusCode >= 500) return hasWaited && isTimeOut(statusCode) && ranOut(scope) ? 'expired' : 'failed'
  return hasWaited && scope.ledger.count('degraded') > 0 ? 'degraded' : 'sent'
}

function isTimeOut(status: number): boolean {
  return status === 503 || status === 504
}

function ranOut({ ledger }: RequestScope): boolean {
  return ledger.count('expired') > 0 || ledger.count('refused') > 0
}
