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
 * Sequence number of the request being executed: by AsyncLocalStorage, else the one `self` (a frame's `this`) belongs to; 0 for none. Apart from `runtime.ts`, which apps load
 * with the toolkit: theirs need not load HTTP for it.
 */
export function sequenceOf(self: unknown): number {
  const scope = runningRequest()
  if (scope !== undefined) return scope.sequence
  if (typeof self !== 'object' || self === null) return 0
  if (self instanceof http.ServerResponse) return scopeOfResponse(self)?.sequence ?? 0
  const owner = self as { [scopeOf]?: RequestScope; [connectionOf]?: Connection }
  return owner[scopeOf]?.sequence ?? owner[connectionOf]?.scopes[0]?.sequence ?? 0
}
