import { problemAnswer } from '../errors/problem.ts'
import { PunctualError, retrySeconds } from '../errors/punctual-error.ts'
import { isAbortReason, isTimeout } from '../resilience/abort-reason.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import type { DeferredModule } from './deferred-module.ts'
import { RoutesFailedError, RoutesNotLoadedError } from './routes-errors.ts'

/**
 * The routes that a request needs: at once if they are loaded, else when they are, within its
 * deadline.
 *
 * @throws RoutesNotLoadedError on timeout; RoutesFailedError if they fail to load; the reason if
 * the request is aborted
 */
export async function waitForRoutes<Routes>(module: DeferredModule<Routes>): Promise<Routes> {
  const { prefix, requestTimeout } = module.settings
  const before = monotonicNow()
  try {
    return await withTimeout(`routes ${prefix}`, requestTimeout, ({ signal }) => module.request(signal))
  } catch (error) {
    if (isTimeout(error)) throw new RoutesNotLoadedError(prefix, monotonicNow() - before, { cause: error })
    throw error
  }
}

/** The part of Node's response that is used here. */
export interface ResponseLike {
  readonly headersSent: boolean
  writeHead(status: number, headers: Record<string, string>): unknown
  end(body: string): unknown
}

/** Responds 503 with `Retry-After` to a request whose routes could not be loaded. */
export function respondWithoutRoutes(response: ResponseLike, error: unknown): void {
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
  const { status, headers, body } = problemAnswer(codeOf(error))
  const seconds = error instanceof RoutesFailedError ? retrySeconds(error) : undefined
  return {
    status,
    headers: seconds === undefined ? { ...headers } : { ...headers, 'retry-after': String(seconds) },
    body,
  }
}

function codeOf(error: unknown): 'PUNCTUAL_SHUTTING_DOWN' | 'PUNCTUAL_ROUTES_FAILED' | 'PUNCTUAL_ROUTES_NOT_LOADED' {
  if (error instanceof RoutesFailedError) return 'PUNCTUAL_ROUTES_FAILED'
  const isShutdown = isAbortReason(error) && (error as { code?: unknown }).code === 'PUNCTUAL_SHUTTING_DOWN'
  return isShutdown ? 'PUNCTUAL_SHUTTING_DOWN' : 'PUNCTUAL_ROUTES_NOT_LOADED'
}

/** Whether a URL is below a prefix: `/a/b` and `/a?b` are below `/a`, `/ab` is not. */
export function isBelow(url: string, prefix: string): boolean {
  if (prefix === '/') return true
  if (!url.startsWith(prefix)) return false
  const next = url[prefix.length]
  return next === undefined || next === '/' || next === '?'
}

/**
 * The default export of a loaded module. CommonJS compiled from TypeScript has it one level deeper;
 * a loader may also return the export itself.
 *
 * @param isExpected whether it can be mounted
 * @param example of a correct export, for the error
 * @throws PunctualError if it cannot
 */
export function defaultExportOf<Export>(
  loaded: unknown,
  prefix: string,
  isExpected: (found: unknown) => found is Export,
  example: string,
): Export {
  let found = loaded
  for (let level = 0; level < 2 && hasDefault(found); level++) found = found.default
  if (isExpected(found)) return found
  throw new PunctualError(
    'PUNCTUAL_ROUTES_FAILED',
    `the module of deferRoutes "${prefix}" must have a default export like \`${example}\``,
    { details: { reason: 'default-export', prefix } },
  )
}

function hasDefault(value: unknown): value is { readonly default: unknown } {
  return typeof value === 'object' && value !== null && 'default' in value
}

export function isFunction<Function_ extends (...args: never[]) => unknown>(value: unknown): value is Function_ {
  return typeof value === 'function'
}
