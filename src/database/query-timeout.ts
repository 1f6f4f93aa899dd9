import { AsyncLocalStorage } from 'node:async_hooks'
import { monotonicNow } from '../resilience/clock.ts'
import { type Duration, readDuration, UNBOUNDED } from '../resilience/duration.ts'

/** The name and the deadline of the queries of one `withQueryTimeout`. */
interface Operation {
  readonly name: string
  /** Monotonic milliseconds. */
  readonly deadline: number
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
  const outer = operations.getStore()
  const deadline = Math.min(monotonicNow() + duration, outer?.deadline ?? UNBOUNDED)
  return operations.run({ name, deadline }, work)
}

/** The `withQueryTimeout` that the caller runs in. */
export function currentOperation(): Operation | undefined {
  return operations.getStore()
}
