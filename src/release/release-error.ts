import type { ReleaseFailure } from '../diagnostics/release-report.ts'
import { PunctualError } from '../errors/punctual-error.ts'

/** What keeps a release from succeeding. Code `PUNCTUAL_RELEASE_FAILED`; `details` says the same as the message in fields. */
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
 * The fields of an error. Of one that is not a `ReleaseError` there is its code at most.
 *
 * @param phase in which it was met. Default: its own, else `process`
 */
export function failureOf(error: unknown, phase?: ReleaseFailure['phase']): ReleaseFailure {
  if (error instanceof ReleaseError) return { ...error.details, phase: phase ?? error.details.phase }
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  return { phase: phase ?? 'process', reason: 'unexpected', ...(typeof code === 'string' ? { errorCode: code } : {}) }
}
