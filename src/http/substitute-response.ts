import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { http } from './node-http.ts'
import type { RawResponse } from './raw-response.ts'

/** The private fields of a response of HTTP/1.1 (Node 22.23, 24.21, 26.10). */
interface Internals {
  _header: string | null
  _headerSent: boolean
  _hasBody: boolean
  _contentLength: number | null
  chunkedEncoding: boolean
}

/** Headers that describe the body, the caching or the connection of a response. */
const OF_THE_BODY =
  /^(?:content-(?!security-policy)|(?:transfer-encoding|trailer|etag|last-modified|cache-control|expires|pragma|age|accept-ranges|location|refresh|retry-after|connection|keep-alive|upgrade|date)$)/i

/**
 * Sends another response than that of the handler, by the object of that: with its headers, except
 * those that describe its body. Closes the connection.
 *
 * It calls the methods of Node's class, because middleware may have replaced those of the object:
 * to compress the body, to save a session first.
 *
 * @param response nothing of it has been sent, but its head may have been written (`writeHead`)
 */
export function sendSubstitute(response: ServerResponse, { status, headers, body }: RawResponse): void {
  const { end, setHeader, writeHead } = http.ServerResponse.prototype
  takeBackHead(response)
  for (const name of response.getHeaderNames()) if (OF_THE_BODY.test(name)) response.removeHeader(name)
  for (const [name, value] of Object.entries(headers)) setHeader.call(response, name, value as string)
  response.strictContentLength = false
  response.shouldKeepAlive = false
  // The types know only the last of several signatures.
  const call = (method: unknown, ...args: unknown[]): void => {
    ;(method as (this: ServerResponse, ...args: unknown[]) => unknown).apply(response, args)
  }
  call(writeHead, status, http.STATUS_CODES[status])
  call(end, body)
}

/** The headers that a response keeps when another takes its place. */
export function keptHeaders(response: Pick<ServerResponse, 'getHeaders'>): OutgoingHttpHeaders {
  const all = Object.entries(response.getHeaders())
  return Object.fromEntries(all.filter(([name]) => !name.startsWith(':') && !OF_THE_BODY.test(name)))
}

/** Makes a head that was written the headers of a response again. */
function takeBackHead(response: ServerResponse): void {
  const internals = response as unknown as Internals
  const { _header: head } = internals
  internals._hasBody = response.req?.method !== 'HEAD'
  internals._contentLength = null
  internals.chunkedEncoding = false
  if (typeof head !== 'string' || internals._headerSent) return
  internals._header = null
  // Headers that were given to `writeHead` only are nowhere else.
  const given = new Set(response.getHeaderNames())
  for (const line of head.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon))
    if (colon > 0 && !given.has(name.toLowerCase()) && !OF_THE_BODY.test(name))
      response.appendHeader(name, line.slice(colon + 1).trim())
  }
}

/**
 * Lets a response appear to its handler as one whose client has disconnected: nothing that is
 * written arrives, callbacks get an error, streams stop. Its status stays what the client has got,
 * for those who look at it in the end.
 */
export function sealResponse(response: ServerResponse): void {
  const { statusCode } = response
  const ignore = (): ServerResponse => response
  const hidden = { get: () => statusCode, set: () => {}, configurable: true, enumerable: true }
  Object.defineProperties(response, {
    writeHead: { value: ignore },
    setHeader: { value: ignore },
    setHeaders: { value: ignore },
    appendHeader: { value: ignore },
    removeHeader: { value: () => {} },
    flushHeaders: { value: () => {} },
    addTrailers: { value: () => {} },
    writeContinue: { value: refuse },
    writeProcessing: { value: refuse },
    writeEarlyHints: { value: refuse },
    write: {
      value: (...args: unknown[]) => {
        refuse(...args)
        return false
      },
    },
    end: {
      value: (...args: unknown[]) => {
        refuseEnd(...args)
        return response
      },
    },
    // Node sets it when the connection is closed.
    destroyed: { value: true, writable: true, configurable: true, enumerable: true },
    headersSent: { value: true, configurable: true },
    writableEnded: { value: false },
    writableFinished: { value: false },
    statusCode: hidden,
  })
  // HTTP/2 has no message, and Node warns of every access.
  if (!(response instanceof http.ServerResponse)) return
  const { statusMessage, socket } = response
  // Node would set it to null, which the package on-finished takes for a response yet to be sent.
  Object.defineProperty(response, 'socket', { ...hidden, get: () => socket })
  Object.defineProperty(response, 'statusMessage', { ...hidden, get: () => statusMessage })
}

/**
 * Once a substitute has been sent, and observers have logged it, which take the status only of a
 * response whose headers were sent: those of the handler's response were not, as if its client had
 * disconnected. Express would report an error for a file that it sends later.
 */
export function forgetSubstitute(response: ServerResponse): void {
  response.once('finish', () =>
    process.nextTick(Object.defineProperty, response, 'headersSent', { value: false, configurable: true }),
  )
}

const refuse = (...args: unknown[]): void => fail('write', args)
const refuseEnd = (...args: unknown[]): void => fail('end', args)

/** Calls the callback with the error that a destroyed stream of Node gives. */
function fail(operation: string, args: readonly unknown[]): void {
  const callback = args.findLast((arg) => typeof arg === 'function') as ((error: Error) => void) | undefined
  if (callback === undefined) return
  const error = new Error(`Cannot call ${operation} after a stream was destroyed`)
  process.nextTick(callback, Object.assign(error, { code: 'ERR_STREAM_DESTROYED' }))
}
