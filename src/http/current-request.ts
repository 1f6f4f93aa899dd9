import type { OptionNames } from '../errors/check-options.ts'
import type { Deadline } from '../resilience/clock.ts'
import type { Duration, Milliseconds } from '../resilience/duration.ts'
import type { WaitNode } from '../resilience/wait-node.ts'
import { waitScopes } from '../resilience/wait-scope.ts'
import type { Waits } from '../resilience/waits.ts'

/** What a request is allowed to take. */
export interface Allowance {
  /** From its acceptance until its response must be complete. */
  readonly timeout?: Duration
  /**
   * The most queries it may run, on guarded pools and SQLite databases together. More are logged;
   * in tests they fail.
   */
  readonly queries?: { readonly max: number }
}

export const ALLOWANCE_OPTIONS: OptionNames<Allowance> = { timeout: true, queries: true }

/** The request that is being served. */
export interface CurrentRequest {
  /**
   * `X-Request-Id` or the trace id of `traceparent`, if the client sent a valid one; else 32 random
   * hexadecimal digits.
   */
  readonly id: string
  /**
   * When its response must begin, in monotonic milliseconds. Moved while a body arrives, and
   * infinite once the response has begun.
   */
  readonly deadline: Deadline
  /** Milliseconds until then, at least 0. */
  readonly remaining: Milliseconds
  /**
   * Aborted when the request times out or is shed, its client disconnects, or its worker shuts
   * down. Created on first access.
   */
  readonly signal: AbortSignal
  /** Its waits so far. */
  readonly waits: Waits
  /** The pattern of its route (`/users/:id`), for the log and for metrics. Writable. */
  route: string | null
  /**
   * Replaces its deadline, set by `requestTimeout` or by its caller. For routes that take longer
   * than others, or must not. Unlike those it also covers the response after its begin, until its
   * end.
   *
   * @param allowance a duration from its acceptance, e.g. `'10m'` or `'unbounded'`; or `{ timeout:
   * '10m', queries: { max: 5 } }`
   * @throws InvalidOptionError for an invalid duration or number of queries
   */
  allow(allowance: Duration | Allowance): void
}

/**
 * The request whose code is running, found through AsyncLocalStorage; undefined outside of
 * requests, and outside of `punctual run`.
 */
export function currentRequest(): CurrentRequest | undefined {
  for (let node: WaitNode | null = waitScopes.getStore() ?? null; node !== null; node = node.parent) {
    if (isRequest(node)) return node
  }
  return undefined
}

/**
 * Whether work is a request, by its shape: an app may have a copy of Punctual besides the one that
 * serves it. It does not load what serves requests, which a script that only waits does not need.
 */
export function isRequest(node: WaitNode): node is WaitNode & CurrentRequest {
  return 'sequence' in node && 'waitsAtTimeout' in node
}
