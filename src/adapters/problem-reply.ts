import { CODES, type RequestErrorCode } from '../errors/codes.ts'
import { type ProblemAnswer, problemAnswer } from '../errors/problem.ts'
import { retrySeconds } from '../errors/punctual-error.ts'
import { currentRequest } from '../http/current-request.ts'

/**
 * The response to an error of Punctual: `application/problem+json` with `Retry-After`; null for
 * other errors. Recognized by its code, not its class, because an app may have its own copy of
 * Punctual.
 */
export function problemReply(error: unknown): ProblemAnswer | null {
  if (!isRequestError(error)) return null
  const answer = problemAnswer(error.code, currentRequest()?.id)
  const seconds = retrySeconds(error)
  return seconds === undefined ? answer : { ...answer, headers: { ...answer.headers, 'retry-after': String(seconds) } }
}

function isRequestError(error: unknown): error is { readonly code: RequestErrorCode; readonly retryAfter?: unknown } {
  if (typeof error !== 'object' || error === null || !('code' in error)) return false
  const { code } = error
  return typeof code === 'string' && Object.hasOwn(CODES, code) && CODES[code as RequestErrorCode].httpStatus !== null
}
