import type { ReleaseFailure } from '../diagnostics/release-report.ts'
import { PunctualError } from '../errors/punctual-error.ts'

/**
 * A release that failed. Code `PUNCTUAL_RELEASE_FAILED`; `details` has the facts of the message.
 */
export class ReleaseError extends PunctualError {
  static {
    ReleaseError.prototype.name = 'ReleaseError'
  }

  declare readonly details: ReleaseFailure

  constructor(message: string, details: ReleaseFailure, options: { readonly cause?: unknown } = {}) {
    super('PUNCTUAL_RELEASE_FAILED', message, { ...options, details })
  }
}

/**
 * Returns the details of any error. An error that is not a `ReleaseError` has at most a code.
 *
 * @param phase what was being done. Default: the error's own phase, else `process`
 */
export function failureOf(error: unknown, phase?: ReleaseFailure['phase']): ReleaseFailure {
  if (error instanceof ReleaseError) return { ...error.details, phase: phase ?? error.details.phase }
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  return { phase: phase ?? 'process', reason: 'unexpected', ...(typeof code === 'string' ? { errorCode: code } : {}) }
}
