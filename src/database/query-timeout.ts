import { AsyncLocalStorage } from 'node:async_hooks'
import { monotonicNow } from '../resilience/clock.ts'
import { type Duration, readDuration, UNBOUNDED } from '../resilience/duration.ts'
import { CLEAN_UP_TIMEOUT } from '../resilience/wait-scope.ts'
import { isThenable } from '../system/is-thenable.ts'

/** The name and the deadline of the queries of one `withQueryTimeout`. */
export interface Operation {
  readonly name: string
  /** Monotonic milliseconds. */
  readonly deadline: number
  /**
   * When its function has ended, in monotonic milliseconds; infinite before. What still runs in its
   * context, such as a poller, outlives it.
   */
  endsAt: number
  /** A query of it has failed because its time is up. What its function does then cleans up. */
  expired: boolean
  readonly outer: Operation | undefined
}

const operations: AsyncLocalStorage<Operation> = new AsyncLocalStorage()

/**
 * Runs `work` and gives all queries that it starts, on any guarded pool and through any library,
 * one name and one timeout. The timeout covers all of them, including the waits for a connection.
 *
 * It replaces `queryTimeout` of the pool and may be longer, but not longer than an outer
 * `withQueryTimeout` or the deadline of the request. It ends queries only; to end other waits too,
 * use `withTimeout`.
 *
 * @throws {InvalidOptionError} unless `timeout` is a duration
 */
export function withQueryTimeout<T>(name: string, timeout: Duration, work: () => T): T {
  const duration = readDuration(`withQueryTimeout("${name}")`, 'timeout', timeout)
  const outer = currentOperation()
  const deadline = Math.min(monotonicNow() + duration, outer?.deadline ?? UNBOUNDED)
  const operation: Operation = { name, deadline, endsAt: Number.POSITIVE_INFINITY, expired: false, outer }
  const end = (): void => {
    operation.endsAt = 0
  }
  let result: T
  try {
    result = operations.run(operation, work)
  } catch (error) {
    end()
    throw error
  }
  // Other thenables, such as the queries of a query builder, may run once for each `then`.
  if (result instanceof Promise) return result.finally(end) as T
  // It may have passed its context on.
  if (!isThenable(result)) operation.endsAt = deadline
  return result
}

/** The `withQueryTimeout` that the caller runs in; undefined outside of any. */
export function currentOperation(): Operation | undefined {
  let operation = operations.getStore()
  while (operation !== undefined && operation.endsAt <= monotonicNow()) operation = operation.outer
  return operation
}

/**
 * Whether queries of this operation clean up: its time is over, but its function goes on, as in a
 * `finally` that resets the session.
 */
export function isCleaningUp({ deadline, expired }: Operation, now: number): boolean {
  return expired && now >= deadline && now < deadline + CLEAN_UP_TIMEOUT
}
