import { problemAnswer } from '../errors/problem.ts'
import { retrySeconds } from '../errors/punctual-error.ts'
import { isAbortReason, isTimeout } from '../resilience/abort-reason.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import type { DeferredModule } from './deferred-module.ts'
import { RoutesFailedError, RoutesNotLoadedError } from './routes-errors.ts'

/**
 * The routes that a request needs: at once if they are loaded, else as soon as they are, within its deadline.
 *
 * @throws RoutesNotLoadedError when the time has run out; RoutesFailedError when they cannot be loaded; the reason when the request is given up
 */
export async function askForRoutes<Routes>(module: DeferredModule<Routes>): Promise<Routes> {
  const { prefix, requestLimit } = module.settings
  const before = monotonicNow()
  try {
    return await withTimeout(`routes ${prefix}`, requestLimit, ({ signal }) => module.wanted(signal))
  } catch (error) {
    if (isTimeout(error)) throw new RoutesNotLoadedError(prefix, monotonicNow() - before, { cause: error })
    throw error
  }
}

/** What is used of Node's response. */
export interface ResponseLike {
  readonly headersSent: boolean
  writeHead(status: number, headers: Record<string, string>): unknown
  end(body: string): unknown
}

/** Answers a request whose routes could not be had: 503 with `Retry-After`, or not at all where nobody reads it any more. */
export function answerWithoutRoutes(response: ResponseLike, error: unknown): void {
  if (response.headersSent) return
  const { status, headers, body } = problemWithoutRoutes(error)
  response.writeHead(status, headers)
  response.end(body)
}

export function problemWithoutRoutes(error: unknown): {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
} {
  const known = error instanceof RoutesFailedError || error instanceof RoutesNotLoadedError
  const code = known ? (error.code as 'PUNCTUAL_ROUTES_FAILED' | 'PUNCTUAL_ROUTES_NOT_LOADED') : codeOf(error)
  const { status, headers, body } = problemAnswer(code)
  const seconds = error instanceof RoutesFailedError ? retrySeconds(error) : undefined
  return {
    status,
    headers: seconds === undefined ? { ...headers } : { ...headers, 'retry-after': String(seconds) },
    body,
  }
}

function codeOf(error: unknown): 'PUNCTUAL_SHUTTING_DOWN' | 'PUNCTUAL_ROUTES_NOT_LOADED' {
  return isAbortReason(error) && (error as { code?: unknown }).code === 'PUNCTUAL_SHUTTING_DOWN'
    ? 'PUNCTUAL_SHUTTING_DOWN'
    : 'PUNCTUAL_ROUTES_NOT_LOADED'
}
