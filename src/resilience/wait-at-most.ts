import { after, type TimerOptions } from './clock.ts'
import type { Milliseconds } from './duration.ts'

/**
 * Waits for a promise, but no longer than `timeout`: for what belongs to no request, such as
 * closing a file or the last words of a process. Inside requests `withTimeout` gives a wait a name,
 * the deadline and a record.
 *
 * The work goes on after the timeout; a late rejection is dropped. The timer keeps the process
 * alive unless `keepAlive` is false.
 *
 * @param onTimeout makes what it resolves to after the timeout, default undefined; it may throw
 *   what it rejects with
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
 * The same for what is no promise yet: `start` is called at once, as the executor of `new Promise`
 * is.
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
