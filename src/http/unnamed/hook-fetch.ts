import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { beginUnnamed, unansweredRequest } from './begin-unnamed.ts'
import { callTarget, OutgoingCall } from './outgoing-call.ts'
import { DEADLINE_HEADER, leftForCall } from './outgoing-deadline.ts'
import type { UnnamedWaitOptions } from './unnamed-wait-options.ts'

/** A request of undici's, as its channels show it; which is what `fetch` is made of, Node's own and that of the package. */
interface UndiciRequest {
  readonly method: string
  readonly path: string
  readonly origin: string | URL
  /** Names and values in turn; the text of the head in versions before 6. */
  readonly headers: readonly unknown[] | string
  readonly completed?: boolean
  readonly aborted?: boolean
  addHeader?(name: string, value: string): unknown
}
interface About {
  readonly request: UndiciRequest
}

class FetchCall extends OutgoingCall {
  readonly #request: UndiciRequest
  socket: Socket | null = null
  answered = false

  constructor(request: UndiciRequest, origin: URL) {
    super(callTarget(request.method, origin.protocol === 'https:', origin.host, request.path))
    this.#request = request
  }

  get over(): boolean {
    return this.#request.completed === true || this.#request.aborted === true
  }
}

/** Calls by `fetch` and by undici, as its diagnostics channels tell of them. To subscribe loads nothing. */
export function hookFetch({ trace, propagate }: UnnamedWaitOptions): void {
  const calls = new WeakMap<UndiciRequest, FetchCall>()
  const hear = (name: string, listener: (call: FetchCall, message: object) => void): void => {
    subscribe(`undici:${name}`, (message) => {
      const call = calls.get((message as About).request)
      if (call !== undefined) listener(call, message as object)
    })
  }

  subscribe('undici:request:create', (message) => {
    const scope = unansweredRequest()
    if (scope === undefined) return
    const { request } = message as About
    if (propagate && !hasDeadline(request.headers)) {
      const left = leftForCall(scope)
      if (left !== null) request.addHeader?.(DEADLINE_HEADER, left)
    }
    const origin = URL.parse(String(request.origin))
    if (!trace || origin === null) return
    const call = new FetchCall(request, origin)
    calls.set(request, call)
    beginUnnamed(scope, call)
  })
  if (!trace) return
  hear('client:sendHeaders', (call, message) => {
    call.socket = (message as { socket: Socket }).socket
  })
  hear('request:headers', (call) => {
    call.answered = true
  })
  hear('request:trailers', (call) => call.end())
  hear('request:error', (call) => call.end())
}

function hasDeadline(headers: UndiciRequest['headers']): boolean {
  const name = DEADLINE_HEADER.toLowerCase()
  if (typeof headers === 'string') return `\r\n${headers.toLowerCase()}`.includes(`\r\n${name}:`)
  return headers.some((item, index) => index % 2 === 0 && String(item).toLowerCase() === name)
}
