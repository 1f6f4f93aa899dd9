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

  /**
   * What a request that fails with this error is answered, as frameworks read it (Fastify and others `statusCode`, Express and Koa `status`, `expose`
   * and `headers`), so that an unchanged app answers 503 with `Retry-After` and not 500. Undefined for errors of commands.
   *
   * Accessors of the prototype, so that they are not printed with the error. Frameworks and apps write them too: what is written stays.
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

  /** False: the message is for the operator. */
  get expose(): boolean {
    return false
  }

  set expose(value: boolean) {
    keep(this, 'expose', value)
  }

  /** `retry-after` in seconds, where the code has one. */
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

/** Seconds after which to try again: the error's own `retryAfter` (milliseconds) where it knows better than its code. */
export function retrySeconds(error: { readonly code: ErrorCode; readonly retryAfter?: unknown }): number | undefined {
  const entry = CODES[error.code]
  if (entry.httpStatus === null) return undefined
  const { retryAfter } = error
  if (typeof retryAfter === 'number' && Number.isFinite(retryAfter)) return Math.max(1, Math.ceil(retryAfter / 1_000))
  return entry.retryAfter
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
