import { subscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { redactTarget } from '../../redaction/redaction.ts'
import { monotonicNow } from '../../resilience/clock.ts'
import { currentParent } from '../../resilience/wait-scope.ts'
import { type RequestScope, unansweredRequest } from '../scope.ts'
import { UnnamedWait } from './unnamed-waits.ts'

export interface UnnamedWaitOptions {
  /** Record what a request has started and not heard back from. */
  readonly trace: boolean
  /**
   * Whether calls to a host carry the remaining time of their request; null if none do.
   */
  readonly propagateTo: ((host: string) => boolean) | null
}

/**
 * The header with the remaining time of a call, in milliseconds: a duration, because a deadline
 * could be read as an instant. Punctual reads it on the other side, and so may any server.
 */
const DEADLINE_HEADER = 'Request-Timeout'

interface CallTarget {
  readonly method: string
  readonly secure: boolean
  /** As in a URL: `api.example.com`, `[::1]`. */
  readonly hostname: string
  readonly port: number
  readonly path: string
}

const DEFAULT_PORT = { http: 80, https: 443 }

/** An outgoing HTTP request, until its response has been read. */
export abstract class OutgoingCall extends UnnamedWait {
  readonly #target: CallTarget

  constructor(target: CallTarget) {
    super()
    this.#target = target
  }

  /** Whether the head of the response has arrived, so that the body is waited for. */
  protected abstract get answered(): boolean

  /** Its socket, if known. */
  abstract get socket(): Socket | null

  get host(): string {
    const { hostname } = this.#target
    return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  }

  get port(): number {
    return this.#target.port
  }

  /**
   * `GET api.example.com/users (http)`. Without the query string, which may contain secrets.
   *
   * @param phase of the connection, such as `TLS handshake`
   */
  describe(phase?: string): string {
    const { method, secure, hostname, port, path } = this.#target
    const scheme = secure ? 'https' : 'http'
    const shown = this.answered ? 'body' : phase
    const place = port === DEFAULT_PORT[scheme] ? hostname : `${hostname}:${port}`
    return `${method} ${place}${redactTarget(path)} (${shown === undefined ? scheme : `${scheme}, ${shown}`})`
  }
}

/** @param host with or without a port, as in a `Host` header */
function callTarget(method: string, secure: boolean, host: string, path: string): CallTarget {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(host)
  const defaultPort = DEFAULT_PORT[secure ? 'https' : 'http']
  return { method, secure, hostname: match?.[1] ?? host, port: Number(match?.[2] ?? defaultPort), path }
}

/**
 * Whole milliseconds left for a call that starts now, in the request or in the wait around it; null
 * without a deadline.
 */
function timeLeftForCall(scope: RequestScope): string | null {
  const left = Math.min(scope.deadline, currentParent().deadline) - monotonicNow()
  return left === Number.POSITIVE_INFINITY ? null : String(Math.max(0, Math.floor(left)))
}

const callOf: unique symbol = Symbol('punctual.call')
type MarkedRequest = ClientRequest & { [callOf]?: NodeHttpCall }

/** A request by `node:http` or `node:https`, or a library on top of them. */
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

  /** A body that the app does not read, or not yet, is not waited for. */
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

/** Observes calls by `node:http` through its diagnostics channels. Subscribing loads no module. */
export function observeNodeHttp({ trace, propagateTo }: UnnamedWaitOptions): void {
  subscribe('http.client.request.created', (message) => {
    const scope = unansweredRequest()
    if (scope === undefined) return
    const { request } = message as { request: MarkedRequest }
    if (propagateTo?.(request.host) === true && !request.headersSent && !request.hasHeader(DEADLINE_HEADER)) {
      const left = timeLeftForCall(scope)
      if (left !== null) request.setHeader(DEADLINE_HEADER, left)
    }
    if (!trace) return
    const call = new NodeHttpCall(request)
    request[callOf] = call
    scope.beginUnnamed(call)
  })
  if (!trace) return
  // Despite its name, Node publishes this when the head of the response has arrived.
  subscribe('http.client.response.finish', (message) => {
    const { request, response } = message as { request: MarkedRequest; response: IncomingMessage }
    const call = request[callOf]
    if (call !== undefined) call.response = response
  })
}

/**
 * A request as undici's channels publish it: by `fetch`, Node's or that of the package, or by
 * undici itself.
 */
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
interface UndiciMessage {
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

/**
 * Observes calls by `fetch` and undici through undici's diagnostics channels. Subscribing loads no
 * module.
 */
export function observeFetch({ trace, propagateTo }: UnnamedWaitOptions): void {
  const calls = new WeakMap<UndiciRequest, FetchCall>()
  const on = (name: string, listener: (call: FetchCall, message: object) => void): void => {
    subscribe(`undici:${name}`, (message) => {
      const call = calls.get((message as UndiciMessage).request)
      if (call !== undefined) listener(call, message as object)
    })
  }

  subscribe('undici:request:create', (message) => {
    const scope = unansweredRequest()
    if (scope === undefined) return
    const { request } = message as UndiciMessage
    const origin = URL.parse(String(request.origin))
    if (origin === null) return
    if (propagateTo?.(origin.hostname.replace(/^\[|\]$/g, '')) === true && !hasDeadline(request.headers)) {
      const left = timeLeftForCall(scope)
      if (left !== null) request.addHeader?.(DEADLINE_HEADER, left)
    }
    if (!trace) return
    const call = new FetchCall(request, origin)
    calls.set(request, call)
    scope.beginUnnamed(call)
  })
  if (!trace) return
  on('client:sendHeaders', (call, message) => {
    call.socket = (message as { socket: Socket }).socket
  })
  on('request:headers', (call) => {
    call.answered = true
  })
  on('request:trailers', (call) => call.end())
  on('request:error', (call) => call.end())
}

function hasDeadline(headers: UndiciRequest['headers']): boolean {
  const name = DEADLINE_HEADER.toLowerCase()
  if (typeof headers === 'string') return `\r\n${headers.toLowerCase()}`.includes(`\r\n${name}:`)
  return headers.some((item, index) => index % 2 === 0 && String(item).toLowerCase() === name)
}
