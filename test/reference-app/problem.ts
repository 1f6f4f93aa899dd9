import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import { type ErrorCode, isTimeout, PunctualError, SqliteError } from './punctual.ts'

/** An error as clients see it (RFC 9457). `detail` is for a person and reveals no internals. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  /** Identifies the error for programs, if the status does not. */
  readonly code?: string
  /** What is wrong with the input, if known. */
  readonly errors?: readonly ProblemError[]
}

export interface ProblemError {
  readonly pointer: string
  /** The rule of the schema that is violated: `required`, `maxLength`. */
  readonly rule: string
  readonly detail: string
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Not signed in',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  413: 'Too large',
  415: 'Unsupported media type',
  422: 'Cannot be processed',
  500: 'Internal error',
  502: 'Bad gateway',
  503: 'Unavailable',
}

/** Errors of Punctual that are temporary. The others are bugs. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'PUNCTUAL_WAIT_TIMEOUT',
  'PUNCTUAL_REQUEST_TIMEOUT',
  'PUNCTUAL_CONNECTION_LOST',
  'PUNCTUAL_SHUTTING_DOWN',
  'PUNCTUAL_CLIENT_DISCONNECTED',
  'PUNCTUAL_SHED',
  'PUNCTUAL_SUPERSEDED',
  'PUNCTUAL_BREAKER_OPEN',
  'PUNCTUAL_BULKHEAD_FULL',
])

/** Builds a problem; the title follows from the status. */
export function problem(status: number, detail: string, errors?: Problem['errors']): Problem {
  const title = TITLES[status] ?? (status < 500 ? 'Bad request' : 'Internal error')
  return { type: 'about:blank', title, status, detail, ...(errors === undefined ? {} : { errors }) }
}

/** Sends a problem. */
export function sendProblem(reply: FastifyReply, answer: Problem): FastifyReply {
  return reply.code(answer.status).type('application/problem+json').send(answer)
}

/** Turns every error and every unknown URL into a problem. */
export function answerWithProblems(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    if (error.validation !== undefined) {
      const errors = error.validation.map(({ instancePath, keyword, message }) => ({
        pointer: `#${instancePath}`,
        rule: keyword,
        detail: message ?? 'is not valid',
      }))
      return sendProblem(reply, problem(400, `The ${error.validationContext ?? 'request'} is not valid.`, errors))
    }
    const status = error.statusCode ?? 500
    if (status < 500) return sendProblem(reply, { ...problem(status, error.message), code: error.code })
    if (error instanceof PunctualError && PASSING.has(error.code)) {
      request.log.warn(error.message)
      reply.header('retry-after', '1').header('cache-control', 'no-store')
      return sendProblem(reply, passingProblem(error))
    }
    request.log.error({ err: error }, 'request failed')
    if (isDatabaseAway(error)) {
      reply.header('retry-after', '5')
      return sendProblem(reply, problem(503, 'The database is unavailable. Try again in a few seconds.'))
    }
    return sendProblem(reply, problem(500, 'An internal error occurred. It was logged.'))
  })
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, problem(404, `${request.method} ${request.url.split('?', 1)[0]} does not exist.`)),
  )
}

/** Clients match `type`; the name of the wait stays in the log. */
function passingProblem(error: PunctualError): Problem {
  const detail = isTimeout(error)
    ? 'A service needed for the response timed out. Try again in a moment.'
    : 'The request cannot be completed now. Try again in a moment.'
  const type = `urn:punctual:error:${error.code.slice('PUNCTUAL_'.length).toLowerCase().replaceAll('_', '-')}`
  return { ...problem(503, detail), type }
}

// Codes of the system for an unreachable server, and of PostgreSQL for one that is starting,
// stopping or full.
const AWAY = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  '57P01',
  '57P02',
  '57P03',
  '53300',
])

// Codes of SQLite for a file that cannot be opened, a failing disk, and a full disk.
const FILE_AWAY = /^SQLITE_(?:CANTOPEN|IOERR|FULL)/

function isDatabaseAway(error: Error & { code?: string }): boolean {
  if (error instanceof SqliteError) return FILE_AWAY.test(error.errname)
  // pg has no code for an exhausted pool and for a broken connection.
  return (
    AWAY.has(error.code ?? '') || /timeout exceeded when trying to connect|[Cc]onnection terminated/.test(error.message)
  )
}
