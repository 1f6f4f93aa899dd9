import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { NO_DEADLINE } from './clock.ts'
import { type Duration, readDuration } from './duration.ts'
import type { TimerWheel } from './timer-wheel.ts'
import { WaitNode } from './wait-node.ts'
import { type ParentOption, parentOf, WaitScope } from './wait-scope.ts'
import { startWait, type WaitOptions } from './with-timeout.ts'

export interface WithDeadlineOptions extends ParentOption {
  /**
   * Time before the deadline that waits inside do not use, so that their failure can be handled.
   * Default: 0.
   */
  readonly reserve?: Duration
  /** Gives the work up when it is aborted. */
  readonly signal?: AbortSignal
  /**
   * The clock of everything inside, for tests: `new ManualClock().wheel`. Work with its own clock
   * is not part of the surrounding scope. Default: the clock of the process.
   */
  readonly wheel?: TimerWheel
}

const OPTIONS: OptionNames<WithDeadlineOptions> = { parent: true, reserve: true, signal: true, wheel: true }

/**
 * Runs work outside of requests, such as a job, a command or a test, in a scope of its own: all its
 * waits end by its deadline, are recorded in its list of waits, and are given up with it. Inside,
 * `currentWaits()` is the scope.
 *
 * @param name what the work is; appears in errors and in the list of waits
 * @param timeout how long it may take in all, if the deadline around it is not sooner
 * @returns what `work` returns; rejects with a `WaitTimeoutError` at the timeout, or with the
 *   reason if it is given up
 * @throws InvalidOptionError (as a rejection) for an invalid duration
 */
export function withDeadline<Value>(
  name: string,
  timeout: Duration,
  work: (scope: WaitScope) => Value | PromiseLike<Value>,
  options: WithDeadlineOptions = {},
): Promise<Value> {
  try {
    checkOptions(`withDeadline("${name}")`, options, OPTIONS)
    const own = readDuration(`withDeadline("${name}")`, 'timeout', timeout)
    const reserve =
      options.reserve === undefined ? 0 : readDuration(`withDeadline("${name}")`, 'reserve', options.reserve)
    const parent =
      options.wheel === undefined
        ? parentOf(options)
        : new WaitNode(null, options.wheel.now(), NO_DEADLINE, 0, null, options.wheel)
    const waitOptions: WaitOptions<Value, never> = { signal: options.signal }
    return startWait(
      parent,
      name,
      own,
      async (wait) => {
        const node = wait as WaitNode
        const scope = new WaitScope(node.startedAt, node.deadline, reserve, node)
        scope.join()
        try {
          return await scope.enter(() => work(scope))
        } finally {
          scope.end()
          scope.leave()
        }
      },
      waitOptions,
    )
  } catch (error) {
    return Promise.reject(error)
  }
}
