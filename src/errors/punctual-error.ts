import { CODES, type ErrorCode } from './codes.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'

export interface PunctualErrorOptions {
  readonly cause?: unknown
  /** Facts for programs: small, plain data. */
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * Base of every error that Punctual throws on purpose. The message says what happened, where, how long it took, and what to do;
 * it is meant for the operator and never sent to a client (`problem.ts` writes what a client reads).
 */
export class PunctualError extends Error {
  static {
    // On the prototype, where the classes of the language have it: an own property would be printed with every error.
    PunctualError.prototype.name = 'PunctualError'
  }

  readonly code: ErrorCode
  declare readonly details?: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: PunctualErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    if (options.details !== undefined) this.details = options.details
  }

  /** What a command that ends with this error exits with. */
  get exitCode(): ExitCode {
    return CODES[this.code].exitCode ?? EXIT.failed
  }
}

/** A command or an argument that is unknown, missing, or not of the accepted form. Exit code 2. */
export class UsageError extends PunctualError {
  static {
    UsageError.prototype.name = 'UsageError'
  }

  constructor(message: string, options?: PunctualErrorOptions) {
    super('PUNCTUAL_USAGE', message, options)
  }
}
