import type { WaitTimeoutError } from './abort-reason.ts'
import { type Duration, readDuration } from './limit.ts'
import { startWait, type WaitOptions } from './wait.ts'
import type { WaitContext } from './wait-node.ts'
import { type Surroundings, surroundingsOf } from './wait-scope.ts'

export interface WithTimeoutOptions<Value, Otherwise = never> extends Surroundings {
  /**
   * Taken in place of the result when the wait expires, or is refused for lack of time: a value, or a function that makes one. What a
   * function promises is awaited for as long as the wait itself was allowed, and may use up the reserve.
   */
  readonly fallback?: Otherwise | ((expired: WaitTimeoutError) => Otherwise | PromiseLike<Otherwise>)
  /** Called with a result that came when nobody awaited it any more, e.g. to close a connection. Its failure is a warning of the process. */
  readonly dispose?: (late: Value) => unknown
  /** Gives the wait up when it is aborted; it rejects with the signal's reason then. */
  readonly signal?: AbortSignal
  /** The wait is refused if less than this is left of the deadline. Default: 1 ms. */
  readonly atLeast?: Duration
}

/**
 * Awaits work by name, for a limited time: `limit`, or what is left of the deadline around it less the reserve, whichever is less.
 *
 * The result is that of `work`. What else may happen, and how the list of waits calls it:
 * - `expired`: it ran out. The promise rejects with a `WaitTimeoutError`, and the work's signal is aborted with the same error.
 * - `degraded`: it ran out, and the fallback took its place.
 * - `refused`: too little was left to begin. As if it had run out at once; `started` of the error is false.
 * - `aborted`: what is around it was given up (client gone, shutdown, shed, superseded). The promise rejects with that reason; there is no fallback,
 *   and it is no time-out.
 * - `failed`: the work threw or rejected. The promise rejects with the same.
 *
 * Work that goes on afterwards counts as a zombie (`abandonedOperations`) until it ends; its late result is given to `dispose`, its late rejection is dropped.
 *
 * @param name what is waited for, for list of waits, errors and metrics; from a small fixed set
 * @param timeout e.g. `'5s'` or milliseconds; `'unbounded'` leaves only the deadline
 * @param work is told `signal`, `remaining` and `deadline`
 * @throws RangeError (as a rejection) for a limit that is no length of time
 */
export function withTimeout<Value, Otherwise = never>(
  name: string,
  timeout: Duration,
  work: (wait: WaitContext) => Value | PromiseLike<Value>,
  options?: WithTimeoutOptions<Value, Otherwise>,
): Promise<Value | Otherwise> {
  try {
    const own = readDuration(`the wait "${name}"`, 'timeout', timeout)
    return startWait(surroundingsOf(options), name, own, work, options as WaitOptions<Value, Otherwise> | undefined)
  } catch (error) {
    return Promise.reject(error)
  }
}
