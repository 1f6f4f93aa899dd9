import { CODES, type ErrorCode, EXIT, type ExitCode } from './codes.ts'

export interface PunctualErrorOptions {
  readonly cause?: unknown
  /** Facts for programs, as small, plain data. */
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * Base class of the errors that Punctual throws. The message says what happened, where, and what to
 * do. It is for the operator and never sent to a client, which gets the problem of the code.
 */
export class PunctualError extends Error {
  static {
    // On the prototype, as for built-in errors: an own property would be printed with every error.
    PunctualError.prototype.name = 'PunctualError'
  }

  readonly code: ErrorCode
  declare readonly details?: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: PunctualErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    if (options.details !== undefined) this.details = options.details
  }

  /** The exit code of a command that fails with this error. */
  get exitCode(): ExitCode {
    return CODES[this.code].exitCode ?? EXIT.failed
  }

  /**
   * The HTTP status of a request that fails with this error; undefined for errors of commands.
   * Frameworks read it (Fastify `statusCode`, Express and Koa `status`, `expose` and `headers`), so
   * that an unchanged app answers 503 with `Retry-After` instead of 500.
   *
   * Accessors of the prototype, so that they are not printed with the error. Frameworks may write
   * them.
   */
  get statusCode(): number | undefined {
    return CODES[this.code].httpStatus ?? undefined
  }

  set statusCode(value: number | undefined) {
    keep(this, 'statusCode', value)
  }

  get status(): number | undefined {
    return CODES[this.code].httpStatus ?? undefined
  }

  set status(value: number | undefined) {
    keep(this, 'status', value)
  }

  /** False: the message must not be sent to the client. */
  get expose(): boolean {
    return false
  }

  set expose(value: boolean) {
    keep(this, 'expose', value)
  }

  /** `retry-after` in seconds, if the code has one. */
  get headers(): Readonly<Record<string, string>> | undefined {
    const seconds = retrySeconds(this)
    return seconds === undefined ? undefined : { 'retry-after': String(seconds) }
  }

  set headers(value: Readonly<Record<string, string>> | undefined) {
    keep(this, 'headers', value)
  }
}

function keep(error: object, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, writable: true, configurable: true, enumerable: true })
}

/**
 * Seconds until a retry: the `retryAfter` of the error (in milliseconds), else that of its code.
 */
export function retrySeconds(error: { readonly code: ErrorCode; readonly retryAfter?: unknown }): number | undefined {
  const entry = CODES[error.code]
  if (entry.httpStatus === null) return undefined
  const { retryAfter } = error
  if (typeof retryAfter === 'number' && Number.isFinite(retryAfter)) return Math.max(1, Math.ceil(retryAfter / 1_000))
  return entry.retryAfter
}

/** A command or an argument is unknown, missing, or invalid. Exit code 2. */
export class UsageError extends PunctualError {
  static {
    UsageError.prototype.name = 'UsageError'
  }

  constructor(message: string, options?: PunctualErrorOptions) {
    super('PUNCTUAL_USAGE', message, options)
  }
}

/** The invalid option of a call, and its value. */
export interface InvalidOptionDetails {
  /** As the caller writes it, nested options with dots: `timeout`, `trip.share`. */
  readonly option: string
  readonly given: unknown
  /** The name that was probably meant, if the option does not exist. */
  readonly suggestion?: string
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
  constructor(of: string, option: string, given: unknown, must: string, suggestion?: string) {
    super(`${of}: ${option} ${must}, got ${shown(given)}`)
    this.details = suggestion === undefined ? { option, given } : { option, given, suggestion }
  }
}

function shown(given: unknown): string {
  if (typeof given === 'string') return JSON.stringify(given)
  return typeof given === 'object' && given !== null ? Object.prototype.toString.call(given) : String(given)
}
