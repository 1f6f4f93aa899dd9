import { http } from '../http/node-http.ts'
import { rawResponse } from '../http/raw-response.ts'
import { respondInstead } from '../http/respond-instead.ts'
import {
  type Connection,
  connectionOf,
  type RequestScope,
  runningRequest,
  scopeOf,
  scopeOfResponse,
} from '../http/scope.ts'
import type { Traffic } from '../http/traffic.ts'
import { sendToArbiter } from './arbiter-channel.ts'
import { stopAccepting } from './drain.ts'

/**
 * The sequence number of the request that is being executed, from AsyncLocalStorage, else the one
 * that `self` (the `this` of a frame) belongs to; 0 for none. Called by the watchdog in a paused
 * frame.
 */
export function sequenceOf(self: unknown): number {
  const scope = runningRequest()
  if (scope !== undefined) return scope.sequence
  if (typeof self !== 'object' || self === null) return 0
  if (self instanceof http.ServerResponse) return scopeOfResponse(self)?.sequence ?? 0
  const owner = self as { [scopeOf]?: RequestScope; [connectionOf]?: Connection }
  return owner[scopeOf]?.sequence ?? owner[connectionOf]?.scopes[0]?.sequence ?? 0
}

/**
 * Runs on the first turn of the event loop after an interrupt: answers the request whose code was
 * ended, stops accepting, and counts how many of the other requests in flight are served.
 *
 * No `finally` of the interrupted code has run, so locks may be held and counters may be wrong: the
 * worker finishes its requests and exits.
 *
 * @param sequence the request to answer; -1 for none
 */
export function cleanUpInterrupt(traffic: Traffic, sequence: number): void {
  const culprit = [...traffic.inFlight].find((scope) => scope.sequence === sequence)
  if (culprit !== undefined) culprit.forcedOutcome ??= 'failed'
  const answer = culprit === undefined ? 'none' : respondInstead(traffic, culprit, rawResponse('PUNCTUAL_STALLED'))
  stopAccepting(traffic, true)

  const others = new Set<RequestScope>([...traffic.inFlight].filter((scope) => scope !== culprit))
  const total = others.size
  sendToArbiter({ type: 'interrupt-done', culprit: answer, others: total })
  if (total === 0) return sendToArbiter({ type: 'interrupt-served', served: 0, others: 0 })

  let served = 0
  const { onEnded } = traffic
  traffic.onEnded = (scope, outcome) => {
    onEnded?.(scope, outcome)
    if (!others.delete(scope)) return
    if (scope.response.writableEnded && !scope.abandoned) served++
    if (others.size === 0) sendToArbiter({ type: 'interrupt-served', served, others: total })
  }
}
