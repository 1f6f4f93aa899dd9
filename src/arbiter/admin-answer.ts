import { STATUS_CODES } from 'node:http'

/** An answer of the admin server. Several requests may share one. */
export interface AdminAnswer {
  readonly status: number
  readonly type: string
  readonly body: Buffer
  readonly headers?: Readonly<Record<string, string>>
}

/** In bytes. A longer answer is not sent, so that the memory of the arbiter stays bounded. */
const MAX_ANSWER = 4 * 1024 * 1024

export function answer(status: number, type: string, text: string, headers?: AdminAnswer['headers']): AdminAnswer {
  const body = Buffer.from(text)
  if (body.length > MAX_ANSWER) return problem(500, `The answer is larger than ${MAX_ANSWER} bytes.`)
  return { status, type, body, ...(headers && { headers }) }
}

export function json(value: unknown): AdminAnswer {
  return answer(200, 'application/json', `${JSON.stringify(value, null, 2)}\n`)
}

export function text(status: number, body: string): AdminAnswer {
  return answer(status, 'text/plain; charset=utf-8', body)
}

/** RFC 9457; `about:blank` means that the status says all about the type. */
export function problem(status: number, detail: string, headers?: AdminAnswer['headers']): AdminAnswer {
  const body = JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail })
  return answer(status, 'application/problem+json', body, headers)
}
