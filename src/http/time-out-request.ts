import { openWaits } from './open-waits.ts'
import type { RawResponse } from './raw-response.ts'
import { respondInstead } from './respond-instead.ts'
import type { RequestScope } from './scope.ts'
import type { Traffic } from './traffic.ts'

/**
 * The deadline of a request has passed: what it waits for is written down, then given up (queries are cancelled, signals aborted), and its client
 * gets `answer`. A response that has begun is cut off, since nothing else can be said any more.
 */
export function timeOutRequest(traffic: Traffic, scope: RequestScope, answer: RawResponse): void {
  if (scope.ended || scope.abandoned) return
  scope.waitsAtTimeout ??= openWaits(scope)
  scope.forcedOutcome = 'timed-out'
  scope.enter(() => scope.expire())
  respondInstead(traffic, scope, answer)
}
