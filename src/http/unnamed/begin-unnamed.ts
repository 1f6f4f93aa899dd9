import { type RequestScope, runningRequest } from '../scope.ts'
import { type UnnamedWait, UnnamedWaits } from './unnamed-waits.ts'

/** The request whose code is running, while somebody waits for its answer; undefined outside of any, and for what it does afterwards. */
export function unansweredRequest(): RequestScope | undefined {
  const scope = runningRequest()
  return scope === undefined || scope.ended || scope.abandoned ? undefined : scope
}

/** Writes down that this request has begun it, now. */
export function beginUnnamed(scope: RequestScope, wait: UnnamedWait): void {
  scope.unnamed ??= new UnnamedWaits()
  scope.unnamed.begin(wait)
}
