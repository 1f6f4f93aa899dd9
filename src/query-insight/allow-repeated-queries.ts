import { AsyncLocalStorage } from 'node:async_hooks'
import { InvalidOptionError } from '../errors/invalid-option-error.ts'

const reasons: AsyncLocalStorage<string> = new AsyncLocalStorage()
let used = false

/**
 * Runs `work` so that the queries it starts may be repeated without anybody being told: a loop that is meant so, such as one that waits for a job to be done. They
 * still count for a budget.
 *
 * @param reason why, for whoever reads the code
 * @throws {InvalidOptionError} without a reason
 */
export function allowRepeatedQueries<T>(reason: string, work: () => T): T {
  if (typeof reason !== 'string' || reason.trim() === '') {
    throw new InvalidOptionError('allowRepeatedQueries', 'reason', reason, 'must be a string that says why')
  }
  used = true
  return reasons.run(reason, work)
}

/** Whether what runs now repeats its queries by design. */
export function isDeliberate(): boolean {
  return used && reasons.getStore() !== undefined
}
