import type { RequestErrorCode } from '../errors/codes.ts'
import { problemAnswer, problemResponseText } from '../errors/problem.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'

/** How long a client that has been answered may keep sending its body, which is discarded. */
export const LINGER_TIMEOUT: Milliseconds = ms(2_000)

/** A response as bytes, for when `ServerResponse` cannot be used. It closes the connection. */
export interface RawResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly whole: Buffer
  /** Without the body, for HEAD. */
  readonly head: Buffer
}

/** @param status default: 503 */
export function rawResponse(code: RequestErrorCode, status: 503 | 504 = 503): RawResponse {
  return {
    ...problemAnswer(code, undefined, status),
    whole: Buffer.from(problemResponseText(code, { status })),
    head: Buffer.from(problemResponseText(code, { status, head: true })),
  }
}
