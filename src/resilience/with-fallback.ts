import { isAbortReason, isTimeout } from './abort-reason.ts'
import { UNBOUNDED } from './duration.ts'
import { startWait } from './wait.ts'
import type { WaitContext } from './wait-node.ts'
import { type Surroundings, surroundingsOf } from './wait-scope.ts'

export interface WithFallbackOptions extends Surroundings {
  /** Which errors the fallback is for. Default: all, save reasons to abort that are no time-out. */
  readonly when?: (error: unknown) => boolean
}

/**
 * Takes something else where work fails, whatever the failure; the list of waits calls it `degraded`. It has no limit of its own: put `within`
 * inside for that. (For a time-out alone, `within` has a `fallback` too.)
 *
 * @param name what is wanted, for the list of waits
 * @param fallback a value, or a function of the error that makes one
 * @returns what `work` returns, or the fallback; rejects as `work` does where the fallback is not for that error, and with the fallback's own
 *   error (whose `cause` is the work's) where that fails too
 */
export function withFallback<Value, Otherwise>(
  name: string,
  work: (wait: WaitContext) => Value | PromiseLike<Value>,
  fallback: Otherwise | ((error: unknown) => Otherwise | PromiseLike<Otherwise>),
  options?: WithFallbackOptions,
): Promise<Value | Otherwise> {
  try {
    const rescues = options?.when ?? rescuesByDefault
    return startWait<Value, Otherwise>(surroundingsOf(options), name, UNBOUNDED, work, { fallback, rescues })
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Nobody is there any more to be told something else. */
function rescuesByDefault(error: unknown): boolean {
  return isTimeout(error) || !isAbortReason(error)
}
