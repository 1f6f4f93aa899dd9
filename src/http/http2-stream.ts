import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import { after } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import type { RequestScope } from './scope.ts'

/** RFC 9113, 7. */
const NO_ERROR = 0
const INTERNAL_ERROR = 2
/** A session without a stream for so long is closed by a drain. */
const IDLE_TIMEOUT = ms(1_000)

/** Set by the patch of `respond`: the app will send trailers. */
export const waitsForTrailers: unique symbol = Symbol('punctual.waitsForTrailers')
type Stream = ServerHttp2Stream & { [waitsForTrailers]?: boolean }

/**
 * A stream as the request of a scope. With a listener for `request`, Node's compatibility API makes
 * another object, which takes its place.
 */
export class StreamRequest {
  readonly stream: ServerHttp2Stream
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[]

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[] | undefined) {
    this.stream = stream
    this.headers = headers
    this.method = headers[':method'] ?? 'GET'
    this.url = headers[':path'] ?? ''
    this.rawHeaders = rawHeaders ?? Object.entries(headers).flatMap(([name, value]) => [name, String(value)])
  }

  get complete(): boolean {
    return this.stream.readableEnded || this.stream.endAfterHeaders
  }
}

/** A stream as the response of a scope. */
export class StreamResponse {
  readonly stream: ServerHttp2Stream

  constructor(stream: ServerHttp2Stream) {
    this.stream = stream
  }

  get statusCode(): number {
    return Number(this.stream.sentHeaders?.[':status'] ?? 200)
  }

  get headersSent(): boolean {
    return this.stream.headersSent
  }

  get writableEnded(): boolean {
    return this.stream.writableEnded
  }

  get destroyed(): boolean {
    return this.stream.destroyed
  }
}

/** The stream of a request over HTTP/2; undefined for HTTP/1.1. */
export function streamOf({ response }: { readonly response: ServerResponse }): ServerHttp2Stream | undefined {
  return (response as unknown as { readonly stream?: ServerHttp2Stream }).stream
}

/** Whether an event of a server has a stream of HTTP/2 as its first argument. */
export function isServerStream(value: unknown): value is ServerHttp2Stream {
  return (
    typeof value === 'object' && value !== null && 'session' in value && 'respond' in value && 'pushStream' in value
  )
}

/**
 * The status of a gRPC call that has been answered, from its trailers, or from its headers if there
 * was no message. Null if it is no gRPC call, or has no status yet.
 */
export function grpcStatusOf(scope: { readonly response: ServerResponse }): number | null {
  const stream = streamOf(scope)
  const status = stream?.sentTrailers?.['grpc-status'] ?? stream?.sentHeaders?.['grpc-status']
  return status === undefined ? null : Number(status)
}

export function isGrpc({ connection, request }: Pick<RequestScope, 'connection' | 'request'>): boolean {
  return connection === null && String(request.headers['content-type']).startsWith('application/grpc')
}

/** How a request over HTTP/2 is answered in place of its handler. */
export interface StreamAnswer {
  readonly status: number
  readonly headers: Readonly<OutgoingHttpHeaders>
  readonly body: string
  /** The status and the message for a gRPC call. */
  readonly grpcStatus: number
  readonly grpcMessage: string
}

/**
 * Answers on a stream: a gRPC call with a status, any other request with a problem response. If the
 * app's response has begun, a gRPC call gets the status in its trailers, and any other stream is
 * reset, so that the client does not take the part that it has for the whole.
 *
 * @param timeout after which the stream is closed, if the client goes on sending
 * @returns the HTTP status that was sent; 0 if the stream was reset
 */
export function answerStream(scope: RequestScope, answer: StreamAnswer, timeout: ReturnType<typeof ms>): number {
  const stream = streamOf(scope) as Stream
  const grpc = { 'grpc-status': String(answer.grpcStatus), 'grpc-message': encodeURIComponent(answer.grpcMessage) }
  if (stream.destroyed || stream.closed) return 0
  // Data that arrives still would be counted against the window of the whole session.
  stream.resume()
  if (!stream.headersSent) {
    if (isGrpc(scope)) {
      const type = scope.request.headers['content-type'] as string
      stream.respond({ ':status': 200, 'content-type': type, ...grpc }, { endStream: true })
    } else {
      stream.respond({ ':status': answer.status, ...answer.headers })
      // The end of a response to HEAD has been sent.
      if (!stream.writableEnded) stream.end(answer.body)
    }
  } else if (isGrpc(scope) && stream[waitsForTrailers] === true && !stream.writableEnded) {
    const sendTrailers = stream.sendTrailers.bind(stream)
    stream.removeAllListeners('wantTrailers')
    stream.once('wantTrailers', () => sendTrailers(grpc))
    stream.end()
  } else {
    // Node would end the stream before the reset, and the client would take it for complete.
    sealStream(stream)
    stream.on('error', () => {})
    stream.close(INTERNAL_ERROR)
    return 0
  }
  const { statusCode } = new StreamResponse(stream)
  // A client that keeps sending its body, or stops in the middle, would keep the stream open.
  after(timeout, () => stream.close(NO_ERROR), { keepAlive: false })
  return statusCode
}

/**
 * Makes later calls of the app on a stream do nothing: it behaves like one whose client has
 * disconnected, but does not throw because its headers were sent.
 */
export function sealStream(stream: ServerHttp2Stream): void {
  const ignore = (): void => {}
  const fail = (args: readonly unknown[]): void => {
    const callback = args.findLast((argument) => typeof argument === 'function') as ((error: Error) => void) | undefined
    const error = Object.assign(new Error('the request was answered by Punctual'), { code: 'ERR_STREAM_DESTROYED' })
    if (callback !== undefined) process.nextTick(callback, error)
  }
  const methods: Record<string, (...args: unknown[]) => unknown> = {
    respond: ignore,
    respondWithFD: ignore,
    respondWithFile: ignore,
    additionalHeaders: ignore,
    sendTrailers: ignore,
    pushStream: (...args) => fail(args),
    write: (...args) => {
      fail(args)
      return false
    },
    end: (...args) => {
      fail(args)
      return stream
    },
  }
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(stream, name, { value, writable: true, configurable: true })
  }
}

/**
 * Closes a session: it takes no more streams, and ends with those that it has.
 *
 * Streams that its client has sent before it learned that are refused (RFC 9113, 6.8); the client
 * may send them again, since they were not processed. To make that rare, the client learns it while
 * it waits for a response: at once if it does, else with its next stream, and after a second
 * without one. Node cannot announce the end in advance: nghttp2 ignores all streams after any
 * GOAWAY that Node has it send.
 *
 * @param hasStreams whether the client waits for a response
 */
export function closeSession(session: ServerHttp2Session, hasStreams: boolean): void {
  const close = (): void => {
    if (!session.closed && !session.destroyed) session.close()
  }
  if (hasStreams) return close()
  session.prependOnceListener('stream', close)
  after(IDLE_TIMEOUT, close, { keepAlive: false })
}
