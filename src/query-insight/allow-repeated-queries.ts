import { AsyncLocalStorage } from 'node:async_hooks'
import { InvalidOptionError } from '../errors/punctual-error.ts'

const reasons: AsyncLocalStorage<string> = new AsyncLocalStorage()
let isUsed = false

/**
 * Runs `work` without reporting repeats of the queries that it starts. Use it for a loop that is
 * meant to query, such as one that polls. The queries still count towards `maxQueriesPerRequest`.
 *
 * @param reason why the repeats are intended, for people who read the code
 * @throws {InvalidOptionError} without a reason
 */
export function allowRepeatedQueries<T>(reason: string, work: () => T): T {
  if (typeof reason !== 'string' || reason.trim() === '') {
    throw new InvalidOptionError('allowRepeatedQueries', 'reason', reason, 'must be a string that says why')
  }
  isUsed = true
  return reasons.run(reason, work)
}

/** Whether the running code is inside `allowRepeatedQueries`. */
export function isRepeatAllowed(): boolean {
  return isUsed && reasons.getStore() !== undefined
}
