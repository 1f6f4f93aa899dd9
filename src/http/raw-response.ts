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

/** What a gRPC call gets, as problem responses have it for HTTP. */
export function streamAnswer(code: RequestErrorCode, status: 503 | 504 = 503): StreamAnswer {
  return {
    ...problemAnswer(code, undefined, status),
    grpcStatus: code === 'PUNCTUAL_REQUEST_TIMEOUT' ? DEADLINE_EXCEEDED : UNAVAILABLE,
    grpcMessage: CODES[code].detail,
  }
}

/** @param status default: 503 */
export function rawResponse(code: RequestErrorCode, status: 503 | 504 = 503): RawResponse {
  return {
    ...streamAnswer(code, status),
    whole: Buffer.from(problemResponseText(code, { status })),
    head: Buffer.from(problemResponseText(code, { status, head: true })),
  }
}
