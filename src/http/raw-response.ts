import type { RequestErrorCode } from '../errors/codes.ts'
import { problemAnswer, problemResponseText } from '../errors/problem.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'

/** How long a client may go on sending a body nobody reads, once it has been answered. */
export const LINGER_TIMEOUT: Milliseconds = ms(2_000)

/** An answer as bytes on the wire, for where no `ServerResponse` can be used any more. Always closes the connection. */
export interface RawResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly whole: Buffer
  /** The same without the body, for HEAD. */
  readonly head: Buffer
}

/** @param status default: that of the code */
export function rawResponse(code: RequestErrorCode, status: 503 | 504 = 503): RawResponse {
  return {
    ...problemAnswer(code, undefined, status),
    whole: Buffer.from(problemResponseText(code, { status })),
    head: Buffer.from(problemResponseText(code, { status, head: true })),
  }
}
