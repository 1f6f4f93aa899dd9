import { CODES, type RequestErrorCode } from '../errors/codes.ts'
import { problemAnswer, problemResponseText } from '../errors/problem.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { StreamAnswer } from './http2-stream.ts'

/** How long a client that has been answered may keep sending its body, which is discarded. */
export const LINGER_TIMEOUT: Milliseconds = ms(2_000)

/** The status codes of gRPC: github.com/grpc/grpc, doc/statuscodes.md. */
const DEADLINE_EXCEEDED = 4
const UNAVAILABLE = 14

/** A response as bytes, for when `ServerResponse` cannot be used. It closes the connection. */
export interface RawResponse extends StreamAnswer {
  readonly whole: Buffer
  /** Without the body, for HEAD. */
  readonly head: Buffer
}

/**
 * What a gRPC call gets, as problem responses have it for HTTP.
 *
 * @param status default: the status of the code
 */
export function streamAnswer(code: RequestErrorCode, status?: 503 | 504): StreamAnswer {
  const isTooLate = code === 'PUNCTUAL_REQUEST_TIMEOUT' || code === 'PUNCTUAL_REQUEST_TOO_SLOW'
  return {
    ...problemAnswer(code, undefined, status),
    grpcStatus: isTooLate ? DEADLINE_EXCEEDED : UNAVAILABLE,
    grpcMessage: CODES[code].detail,
  }
}

/** @param status default: the status of the code */
export function rawResponse(code: RequestErrorCode, status?: 503 | 504): RawResponse {
  const options = status === undefined ? {} : { status }
  return {
    ...streamAnswer(code, status),
    whole: Buffer.from(problemResponseText(code, options)),
    head: Buffer.from(problemResponseText(code, { ...options, head: true })),
  }
}
