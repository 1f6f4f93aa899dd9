import { answerInstead } from './answer-instead.ts'
import { openWaits } from './open-waits.ts'
import type { RawAnswer } from './raw-answer.ts'
import type { RequestScope } from './scope.ts'
import type { Traffic } from './traffic.ts'

/**
 * The deadline of a request has passed: what it waits for is written down, then given up (queries are cancelled, signals aborted), and its client
 * gets `answer`. A response that has begun is cut off, since nothing else can be said any more.
 */
export function timeOutRequest(traffic: Traffic, scope: RequestScope, answer: RawAnswer): void {
  if (scope.ended || scope.abandoned) return
  scope.unanswered ??= openWaits(scope)
  scope.verdict = 'timed-out'
  scope.enter(() => scope.expire())
  answerInstead(traffic, scope, answer)
}
