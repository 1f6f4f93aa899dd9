import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { type Milliseconds, ms, parseDuration } from '../resilience/duration.ts'
import { findRuntime } from './runtime.ts'

/**
 * Runs a synchronous job that is known to hold the event loop for long, by name: the watchdog counts its stall from the end of `limit`
 * on, and names the job if it does not end. Jobs may be nested; the outer limit counts again when the inner ends.
 *
 * Outside a worker of Punctual's it only runs the job.
 *
 * @param name appears in incidents
 * @param limit how long the job may take, e.g. `'20s'` or milliseconds; finite, because what may block for ever is no long turn
 * @returns what the job returns
 * @throws RangeError for a limit that is not a finite positive length of time; whatever the job throws
 */
export function allowBlocking<T>(name: string, limit: string | number, job: () => T): T {
  const allowed: Milliseconds | undefined = typeof limit === 'number' ? ms(limit) : parseDuration(limit)
  if (allowed === undefined || !(allowed > 0) || !Number.isFinite(allowed)) {
    throw new InvalidOptionError(
      `allowBlocking "${name}"`,
      'limit',
      limit,
      "must be finite and greater than 0, e.g. '20s'",
    )
  }
  const end = findRuntime()?.beginBlocking(name, allowed)
  try {
    return job()
  } finally {
    end?.()
  }
}
