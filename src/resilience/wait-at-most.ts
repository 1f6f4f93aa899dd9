import { after, type TimerOptions } from './clock.ts'
import type { Milliseconds } from './duration.ts'

/**
 * Waits for a promise, but at most for `timeout`. It is for work outside of requests, such as
 * closing a file or the last message of a process; inside requests `withTimeout` adds a name, the
 * deadline and a record.
 *
 * The work continues after the timeout; a late rejection is dropped. The timer keeps the process
 * alive unless `keepAlive` is false.
 *
 * @param onTimeout returns the result after the timeout, default undefined; it may throw to reject
 */
export function waitAtMost<Value>(timeout: Milliseconds, work: PromiseLike<Value>): Promise<Value | undefined>
export function waitAtMost<Value, Otherwise>(
  timeout: Milliseconds,
  work: PromiseLike<Value>,
  onTimeout: (() => Otherwise) | undefined,
  options?: TimerOptions,
): Promise<Value | Otherwise>
export function waitAtMost(
  timeout: Milliseconds,
  work: PromiseLike<unknown>,
  onTimeout?: () => unknown,
  options?: TimerOptions,
): Promise<unknown> {
  return promiseAtMost(timeout, (resolve, reject) => void work.then(resolve, reject), onTimeout, options)
}

/**
 * The same for a callback API: `start` is called at once, like the executor of `new Promise`.
 *
 * @param start its `resolve` and `reject` cancel the timer; after the timeout they do nothing
 */
export function promiseAtMost<Value>(
  timeout: Milliseconds,
  start: (resolve: (value: Value) => void, reject: (error: unknown) => void) => void,
): Promise<Value | undefined>
export function promiseAtMost<Value, Otherwise>(
  timeout: Milliseconds,
  start: (resolve: (value: Value) => void, reject: (error: unknown) => void) => void,
  onTimeout: (() => Otherwise) | undefined,
  options?: TimerOptions,
): Promise<Value | Otherwise>
export function promiseAtMost(
  timeout: Milliseconds,
  start: (resolve: (value: unknown) => void, reject: (error: unknown) => void) => void,
  onTimeout?: () => unknown,
  options?: TimerOptions,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const cancel = after(
      timeout,
      () => {
        try {
          resolve(onTimeout?.())
        } catch (error) {
          reject(error)
        }
      },
      options,
    )
    try {
      start(
        (value) => {
          cancel()
          resolve(value)
        },
        (error) => {
          cancel()
          reject(error)
        },
      )
    } catch (error) {
      cancel()
      reject(error)
    }
  })
}
