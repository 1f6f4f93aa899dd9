import { PunctualError } from '../errors/punctual-error.ts'
import { formatElapsed } from '../resilience/duration.ts'

/** The routes that a request needs were not loaded in the time it had. They go on loading. */
export class RoutesNotLoadedError extends PunctualError {
  static {
    RoutesNotLoadedError.prototype.name = 'RoutesNotLoadedError'
  }

  readonly prefix: string

  /** @param waited milliseconds that the request has waited */
  constructor(prefix: string, waited: number, options: { readonly cause?: unknown } = {}) {
    super(
      'PUNCTUAL_ROUTES_NOT_LOADED',
      `the routes under ${prefix} were not loaded within ${formatElapsed(waited)}; they go on loading. Look at \`punctual status\` for what takes so long, or at --boot-profile`,
      { ...options, details: { prefix, waitedMs: Math.round(waited) } },
    )
    this.prefix = prefix
  }
}

/** The module of the routes that a request needs could not be loaded. `cause` is what it threw. */
export class RoutesFailedError extends PunctualError {
  static {
    RoutesFailedError.prototype.name = 'RoutesFailedError'
  }

  readonly prefix: string
  /** Milliseconds until it is tried again. */
  readonly retryAfter: number

  constructor(prefix: string, attempts: number, retryAfter: number, cause: unknown) {
    super(
      'PUNCTUAL_ROUTES_FAILED',
      `the routes under ${prefix} could not be loaded (attempt ${attempts}): ${tellCause(cause)}; the next attempt is in ${formatElapsed(retryAfter)}`,
      { cause, details: { prefix, attempts } },
    )
    this.prefix = prefix
    this.retryAfter = retryAfter
  }
}

export function tellCause(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
}
