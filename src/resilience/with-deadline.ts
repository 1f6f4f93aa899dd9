import { NO_DEADLINE } from './clock.ts'
import { type Duration, readDuration } from './duration.ts'
import type { TimerWheel } from './timer-wheel.ts'
import { WaitNode } from './wait-node.ts'
import { type ParentOption, parentOf, WaitScope } from './wait-scope.ts'
import { startWait, type WaitOptions } from './with-timeout.ts'

export interface WithDeadlineOptions extends ParentOption {
  /** What its waits leave of that, so that something can be made of their failure; default 0. */
  readonly reserve?: Duration
  /** Gives all of it up when it is aborted. */
  readonly signal?: AbortSignal
  /**
   * The timers of everything inside; default: those of the process. For tests: `new
   * ManualClock().wheel`. Work that goes by a clock of its own is part of nothing else.
   */
  readonly wheel?: TimerWheel
}

/**
 * Runs work outside of requests (a job, a command, a test) in a scope of its own: everything it
 * awaits ends by its deadline, is written down in its list of waits, and is given up with it.
 * `currentWaits()` inside is the scope.
 *
 * @returns what `work` returns; rejects with a `WaitTimeoutError` when the limit runs out, with the
 *   reason when it is given up
 * @throws RangeError (as a rejection) for limits that are no lengths of time
 */
export function withDeadline<Value>(
  name: string,
  timeout: Duration,
  work: (scope: WaitScope) => Value | PromiseLike<Value>,
  options: WithDeadlineOptions = {},
): Promise<Value> {
  try {
    const limit = readDuration(`"${name}"`, 'timeout', timeout)
    const reserve = options.reserve === undefined ? 0 : readDuration(`"${name}"`, 'reserve', options.reserve)
    const parent =
      options.wheel === undefined
        ? parentOf(options)
        : new WaitNode(null, options.wheel.now(), NO_DEADLINE, 0, null, options.wheel)
    const waitOptions: WaitOptions<Value, never> = { signal: options.signal }
    return startWait(
      parent,
      name,
      limit,
      async (wait) => {
        const node = wait as WaitNode
        const scope = new WaitScope(node.startedAt, node.deadline, reserve, node)
        scope.join()
        try {
          return await scope.enter(() => work(scope))
        } finally {
          scope.leave()
        }
      },
      waitOptions,
    )
  } catch (error) {
    return Promise.reject(error)
  }
}
