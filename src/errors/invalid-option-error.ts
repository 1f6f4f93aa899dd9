import type { ErrorCode } from './codes.ts'

/** The invalid option of a call, and its value. */
export interface InvalidOptionDetails {
  /** As the caller writes it, nested options with dots: `timeout`, `trip.share`. */
  readonly option: string
  readonly given: unknown
}

/**
 * An option of the toolkit has an invalid value. Thrown by the call that has the option, before it
 * does anything. A `RangeError` with a code, as Node throws for its own options; without an HTTP
 * status, because it is a mistake in the app.
 */
export class InvalidOptionError extends RangeError {
  static {
    InvalidOptionError.prototype.name = 'InvalidOptionError'
  }

  readonly code: ErrorCode & 'PUNCTUAL_INVALID_OPTION' = 'PUNCTUAL_INVALID_OPTION'
  readonly details: InvalidOptionDetails

  /**
   * @param of the owner of the option, e.g. `the bulkhead "partner"`
   * @param must what the option must be, e.g. `must be a whole number of at least 1`
   */
  constructor(of: string, option: string, given: unknown, must: string) {
    super(`${of}: ${option} ${must}, got ${shown(given)}`)
    this.details = { option, given }
  }
}

function shown(given: unknown): string {
  if (typeof given === 'string') return JSON.stringify(given)
  return typeof given === 'object' && given !== null ? Object.prototype.toString.call(given) : String(given)
}
