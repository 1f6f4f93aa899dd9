import type { Deadline } from '../resilience/clock.ts'
import type { Duration, Milliseconds } from '../resilience/duration.ts'
import type { Waits } from '../resilience/waits.ts'
import { type Allowance, runningRequest } from './scope.ts'

/** The request that is being served, as its own code sees it. */
export interface CurrentRequest {
  /** `X-Request-Id` or the trace id of `traceparent` if the client sent a sane one, else 32 random hexadecimal digits. */
  readonly id: string
  /** The instant by which it is answered, in milliseconds of the monotonic clock. */
  readonly deadline: Deadline
  /** Milliseconds left until then, never below 0. */
  readonly remaining: Milliseconds
  /** Aborted when the request is given up: its deadline passed, its client left, the worker leaves, it was shed. Costs nothing unless it is looked at. */
  readonly signal: AbortSignal
  /** What it has waited for so far. */
  readonly waits: Waits
  /** The pattern of its route (`/users/:id`), for log and metrics. May be set. */
  route: string | null
  /**
   * Gives it another deadline: `limit` from its acceptance, in place of `requestTimeout` or of what its caller asked for. For routes that are
   * known to take long, or must not: a stream of events, a big download, a health check.
   *
   * @param limit e.g. `'10m'`, `'unbounded'` or milliseconds; or what else it may, `{ limit: '10m', queries: { max: 5 } }`
   * @throws InvalidOptionError for an invalid duration or number of queries
   */
  allow(limit: Duration | Allowance): void
}

/** The request whose code is running, found through AsyncLocalStorage; undefined outside of any, and outside of a worker of Punctual's. */
export function currentRequest(): CurrentRequest | undefined {
  return runningRequest()
}
