import type { ErrorCode } from './codes.ts'

/** Which option of which call is invalid, and what was given for it. */
export interface InvalidOptionDetails {
  /** As the caller writes it, nested ones with dots: `timeout`, `trip.share`. */
  readonly option: string
  readonly given: unknown
}

/**
 * An option of the toolkit has a value that is not allowed. It is thrown where the option is given, before anything is done. A `RangeError`, as
 * Node throws for options of its own, and with a code like theirs; it has no HTTP status, because it is a mistake in the app.
 */
export class InvalidOptionError extends RangeError {
  static {
    InvalidOptionError.prototype.name = 'InvalidOptionError'
  }

  readonly code: ErrorCode & 'PUNCTUAL_INVALID_OPTION' = 'PUNCTUAL_INVALID_OPTION'
  readonly details: InvalidOptionDetails

  /**
   * @param of whose option it is, e.g. `the bulkhead "partner"`
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
