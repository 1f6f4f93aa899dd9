import { http } from '../http/node-http.ts'
import {
  type Connection,
  connectionOf,
  type RequestScope,
  runningRequest,
  scopeOf,
  scopeOfResponse,
} from '../http/scope.ts'

/**
 * The sequence number of the request that is being executed, from AsyncLocalStorage, else the one
 * that `self` (the `this` of a frame) belongs to; 0 for none. Apart from `allow-blocking.ts`, which
 * apps load with the toolkit and which must not load HTTP.
 */
export function sequenceOf(self: unknown): number {
  const scope = runningRequest()
  if (scope !== undefined) return scope.sequence
  if (typeof self !== 'object' || self === null) return 0
  if (self instanceof http.ServerResponse) return scopeOfResponse(self)?.sequence ?? 0
  const owner = self as { [scopeOf]?: RequestScope; [connectionOf]?: Connection }
  return owner[scopeOf]?.sequence ?? owner[connectionOf]?.scopes[0]?.sequence ?? 0
}
