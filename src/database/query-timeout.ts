import { AsyncLocalStorage } from 'node:async_hooks'
import { monotonicNow } from '../resilience/clock.ts'
import { type Duration, readDuration, UNBOUNDED } from '../resilience/duration.ts'

/**
 * What the queries started in a piece of work are called, and by when they must be done together.
 */
interface Operation {
  readonly name: string
  /** Monotonic instant. */
  readonly deadline: number
}

const operations: AsyncLocalStorage<Operation> = new AsyncLocalStorage()

/**
 * Runs `work` so that every query it starts, on any guarded pool and through whatever library, is
 * called `name` and takes part in one limit: all of them together, with the waiting for a
 * connection, have `limit` from now. For a single query that is its own limit.
 *
 * It replaces the pool's `queryTimeout`, so it may also be longer; never longer than an operation
 * around it, or than what is left to the request. It stops queries and nothing else: `within` also
 * stops the waiting.
 *
 * @throws {InvalidOptionError} unless `limit` is a duration.
 */
export function withQueryTimeout<T>(name: string, limit: Duration, work: () => T): T {
  const length = readDuration(`withQueryTimeout("${name}")`, 'timeout', limit)
  const outer = operations.getStore()
  const deadline = Math.min(monotonicNow() + length, outer?.deadline ?? UNBOUNDED)
  return operations.run({ name, deadline }, work)
}

/** The operation the caller runs in. */
export function currentOperation(): Operation | undefined {
  return operations.getStore()
}
