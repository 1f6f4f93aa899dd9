import { PunctualError } from '../errors/punctual-error.ts'
import { formatElapsed } from '../resilience/duration.ts'

/** The routes that a request needs were not loaded in time. Loading continues. */
export class RoutesNotLoadedError extends PunctualError {
  static {
    RoutesNotLoadedError.prototype.name = 'RoutesNotLoadedError'
  }

  readonly prefix: string

  /** @param waited milliseconds for which the request waited */
  constructor(prefix: string, waited: number, options: { readonly cause?: unknown } = {}) {
    super(
      'PUNCTUAL_ROUTES_NOT_LOADED',
      `routes under ${prefix} were not loaded within ${formatElapsed(waited)}; loading continues, see \`punctual status\` and --boot-profile`,
      { ...options, details: { prefix, waitedMs: Math.round(waited) } },
    )
    this.prefix = prefix
  }
}

/** The module of the routes that a request needs failed to load. `cause` is its error. */
export class RoutesFailedError extends PunctualError {
  static {
    RoutesFailedError.prototype.name = 'RoutesFailedError'
  }

  readonly prefix: string
  /** Milliseconds until the next attempt. */
  readonly retryAfter: number

  constructor(prefix: string, attempts: number, retryAfter: number, cause: unknown) {
    super(
      'PUNCTUAL_ROUTES_FAILED',
      `routes under ${prefix} failed to load (attempt ${attempts}): ${formatCause(cause)}; retrying in ${formatElapsed(retryAfter)}`,
      { cause, details: { prefix, attempts } },
    )
    this.prefix = prefix
    this.retryAfter = retryAfter
  }
}

export function formatCause(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
}
