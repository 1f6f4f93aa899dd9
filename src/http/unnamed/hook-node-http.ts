import { subscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { beginUnnamed, unansweredRequest } from './begin-unnamed.ts'
import { callTarget, OutgoingCall } from './outgoing-call.ts'
import { DEADLINE_HEADER, leftForCall } from './outgoing-deadline.ts'
import type { UnnamedWaitOptions } from './unnamed-wait-options.ts'

const callOf: unique symbol = Symbol('punctual.call')
type Marked = ClientRequest & { [callOf]?: NodeHttpCall }

/** A request by `node:http` or `node:https`, and by what is built on them. */
class NodeHttpCall extends OutgoingCall {
  readonly #request: ClientRequest
  response: IncomingMessage | null = null

  constructor(request: ClientRequest) {
    const host = request.getHeader('host')
    const secure = request.protocol === 'https:'
    super(callTarget(request.method, secure, typeof host === 'string' ? host : request.host, request.path))
    this.#request = request
  }

  get over(): boolean {
    const { response } = this
    return response === null ? this.#request.destroyed : response.complete || response.destroyed
  }

  /** A body that nobody reads, or not yet, is not waited for. */
  override get awaited(): boolean {
    const { response } = this
    return response === null || response.readableFlowing === true || response.listenerCount('readable') > 0
  }

  protected get answered(): boolean {
    return this.response !== null
  }

  get socket(): Socket | null {
    return this.#request.socket
  }
}

/** Calls by `node:http`, as its diagnostics channels tell of them. To subscribe loads nothing. */
export function hookNodeHttp({ trace, propagate }: UnnamedWaitOptions): void {
  subscribe('http.client.request.created', (message) => {
    const scope = unansweredRequest()
    if (scope === undefined) return
    const { request } = message as { request: Marked }
    if (propagate && !request.headersSent && !request.hasHeader(DEADLINE_HEADER)) {
      const left = leftForCall(scope)
      if (left !== null) request.setHeader(DEADLINE_HEADER, left)
    }
    if (!trace) return
    const call = new NodeHttpCall(request)
    request[callOf] = call
    beginUnnamed(scope, call)
  })
  if (!trace) return
  // By that name Node tells that an answer has come, of which the body may still be on its way.
  subscribe('http.client.response.finish', (message) => {
    const { request, response } = message as { request: Marked; response: IncomingMessage }
    const call = request[callOf]
    if (call !== undefined) call.response = response
  })
}
