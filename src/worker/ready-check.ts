import type { ClientRequest, IncomingMessage } from 'node:http'
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import net from 'node:net'
import type { Readable } from 'node:stream'
import { http } from '../http/node-http.ts'
import { after } from '../resilience/clock.ts'
import { type Milliseconds, ms, UNBOUNDED } from '../resilience/duration.ts'

/** As Node has it: connections of this module must not be counted as those of the app. */
const { listen } = net.Server.prototype
const { emit } = net.Server.prototype

/** The `User-Agent` of the requests. */
export const READY_CHECK = 'punctual-ready-check'
/** Pause between two requests. */
const INTERVAL = ms(250)
/** How long to wait for an answer if requests have no timeout. */
const ANSWER_TIMEOUT = ms(30_000)

export interface ReadyCheckOptions {
  /** The server that is asked; it may change. */
  readonly server: () => net.Server
  /** Path of the request, with its query. */
  readonly path: string
  /** Of the configured port, for the `Host` header. */
  readonly port: number
  readonly requestTimeout: Milliseconds
  readonly onReady: () => void
  /** Whether the worker is about to exit. */
  readonly isOver: () => boolean
  /** Called when the answer is another than before: `status 500`, `ECONNRESET`, … */
  readonly onAnswer: (answer: string) => void
}

/**
 * Asks a server of this process until it answers with a 2xx status. The requests reach this worker
 * and no other: they come by a port of their own, whose connections are given to the server.
 */
export function checkReady(options: ReadyCheckOptions): void {
  const { server } = options
  const { allowHalfOpen, pauseOnConnect } = server() as net.Server & net.ServerOpts
  const relay = new net.Server({ allowHalfOpen, pauseOnConnect } as net.ServerOpts)
  // Not by listeners: the server may be patched to be seen, and so would be the relay.
  relay.emit = (event: string | symbol, ...args: unknown[]): boolean =>
    event === 'connection'
      ? server().emit('connection', args[0])
      : (emit as (...args: unknown[]) => boolean).call(relay, event, ...args)
  let last = ''
  const ask = (port: number): void => {
    request(port, options, (answer) => {
      if (answer === null) {
        relay.close()
        return options.onReady()
      }
      if (answer !== last) options.onAnswer(answer)
      last = answer
      after(INTERVAL, () => (options.isOver() ? relay.close() : ask(port)))
    })
  }
  relay.once('listening', () => ask((relay.address() as net.AddressInfo).port))
  relay.once('error', ({ message }) => options.onAnswer(message))
  listen.call(relay, { host: '127.0.0.1', port: 0, exclusive: true })
}

/** Calls back with null for a 2xx status. */
function request(port: number, options: ReadyCheckOptions, callback: (answer: string | null) => void): void {
  const { server, path, port: configuredPort, requestTimeout } = options
  const host = `localhost:${configuredPort}`
  const isEncrypted = 'setSecureContext' in server()
  // Its certificate is for the name that clients use.
  const lenient = isEncrypted ? { rejectUnauthorized: false } : {}
  const cancel = after(requestTimeout === UNBOUNDED ? ANSWER_TIMEOUT : requestTimeout, () => {
    outgoing.destroy(new Error('no answer in time'))
  })
  const outgoing: ClientRequest | ClientHttp2Stream = speaksHttp2(server())
    ? requestHttp2(`${isEncrypted ? 'https' : 'http'}://127.0.0.1:${port}`, { host, path, lenient })
    : (isEncrypted ? process.getBuiltinModule('node:https') : http).request({
        host: '127.0.0.1',
        port,
        path,
        agent: false,
        headers: { host, 'user-agent': READY_CHECK, connection: 'close' },
        ...lenient,
      })
  const finish = (answer: string | null): void => {
    cancel()
    outgoing.removeAllListeners('error').on('error', () => {})
    callback(answer)
  }
  outgoing.once('response', (response: IncomingMessage | IncomingHttpHeaders) => {
    const isHttp2 = ':status' in response
    const status = Number(isHttp2 ? response[':status'] : response.statusCode)
    const body = (isHttp2 ? outgoing : response) as Readable
    body.resume()
    finish(status >= 200 && status < 300 ? null : `status ${status}`)
  })
  outgoing.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message))
  outgoing.end()
}

/** By a method, because Node exports neither of the two classes. */
function speaksHttp2(server: net.Server): boolean {
  return 'updateSettings' in server
}

/** A request on a session of its own, which is closed with it. */
function requestHttp2(
  origin: string,
  { host, path, lenient }: { readonly host: string; readonly path: string; readonly lenient: object },
): ClientHttp2Stream {
  const session = process.getBuiltinModule('node:http2').connect(origin, lenient)
  const stream = session.request({ ':path': path, ':authority': host, 'user-agent': READY_CHECK })
  session.on('error', () => {})
  // A session that fails to connect ends its streams without an error.
  session.once('error', (error) => stream.destroy(error))
  stream.once('close', () => session.destroy())
  return stream
}
