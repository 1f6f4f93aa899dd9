import type net from 'node:net'
import type { RequestScope } from './scope.ts'

/** Codes of errors of connections that need not come from a system call. */
const FROM_NETWORK = /^(?:ECONN|EPIPE|ETIMEDOUT|HPE_|ERR_HTTP_REQUEST_TIMEOUT|ERR_SSL|ERR_TLS)/

/**
 * Whether a socket is destroyed because the client has closed or broken the connection, not by the
 * code of the app (`response.destroy(error)`, a stream that fails in a pipeline).
 */
export function isFromNetwork(socket: net.Socket, error: Error | null): boolean {
  if (error === null || error === undefined) return hasReceivedEnd(socket)
  const { code = '', syscall } = error as NodeJS.ErrnoException
  return syscall !== undefined || FROM_NETWORK.test(String(code))
}

function hasReceivedEnd(socket: net.Socket): boolean {
  const { _readableState: state } = socket as net.Socket & { readonly _readableState?: { readonly ended?: boolean } }
  return state?.ended === true || socket.readableEnded
}

/** Whether the whole response was sent, although the app may not have ended it. */
export function hasLeft({ response, begun, connection }: RequestScope): boolean {
  if (response.writableLength > 0) return false
  if (response.writableEnded || connection === null || !begun) return response.writableEnded
  const { _header: head, _hasBody, _contentLength } = response as unknown as ResponseInternals
  if (typeof head !== 'string' || (_hasBody && typeof _contentLength !== 'number')) return false
  const sent = bytesSent(connection.socket) - connection.sentBefore
  return sent >= head.length + (_hasBody ? (_contentLength as number) : 0)
}

/** The private fields of a response of HTTP/1.1 (Node 22.23, 24.21, 26.10). */
interface ResponseInternals {
  readonly _header: string | null
  readonly _hasBody: boolean
  /** Of its header `Content-Length`. */
  readonly _contentLength: number | null
}

/** Bytes that were passed to libuv. */
export function bytesSent(socket: net.Socket): number {
  return (socket as net.Socket & { readonly _bytesDispatched?: number })._bytesDispatched ?? 0
}
