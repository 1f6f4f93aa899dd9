import { CODES, type ErrorCode, type RequestErrorCode } from './codes.ts'

/** An error as sent to a client: RFC 9457, "Problem Details for HTTP APIs". */
export interface Problem {
  /** `urn:punctual:error:stalled`. Stable: clients may match it. */
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  /** The id of the request, if it has one. */
  readonly instance?: string
}

/**
 * Reason phrases of the statuses in use. Importing Node's list in `node:http` costs a thread 5 MB.
 */
const REASONS: Readonly<Record<number, string>> = {
  408: 'Request Timeout',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

/** A complete response, for `response.writeHead(status, headers).end(body)`. */
export interface ProblemAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** `PUNCTUAL_WORKER_LOST` is `urn:punctual:error:worker-lost`. */
export function problemType(code: ErrorCode): string {
  return `urn:punctual:error:${code.slice('PUNCTUAL_'.length).toLowerCase().replaceAll('_', '-')}`
}

/**
 * The problem of a code. Its texts are fixed: it contains no message, path or stack of the server.
 *
 * @param status default: the status of the code
 */
export function problemOf(code: RequestErrorCode, instance?: string, status?: 503 | 504): Problem {
  const { title, httpStatus, detail } = CODES[code]
  const problem = { type: problemType(code), title, status: status ?? httpStatus, detail }
  return instance === undefined ? problem : { ...problem, instance }
}

/**
 * The problem as a complete response: `application/problem+json`, not cacheable, with `Retry-After`
 * in seconds if the code has one.
 */
export function problemAnswer(code: RequestErrorCode, instance?: string, statusGiven?: 503 | 504): ProblemAnswer {
  const problem = problemOf(code, instance, statusGiven)
  const { retryAfter } = CODES[code]
  const body = JSON.stringify(problem)
  return {
    status: problem.status,
    headers: {
      'content-type': 'application/problem+json',
      'content-length': String(Buffer.byteLength(body)),
      'cache-control': 'no-store',
      ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
    },
    body,
  }
}

/**
 * The problem as the text of an HTTP/1.1 response that closes the connection, for a socket without
 * a `ServerResponse`. `head` omits the body, as the response to HEAD must. RFC 9110 does not
 * require `Date` for a status of 500 and above.
 */
export function problemResponseText(
  code: RequestErrorCode,
  options: { readonly head?: boolean; readonly status?: 503 | 504 } = {},
): string {
  const { status, headers, body } = problemAnswer(code, undefined, options.status)
  const lines = Object.entries({ ...headers, connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${REASONS[status]}\r\n${lines.join('')}\r\n${options.head === true ? '' : body}`
}
