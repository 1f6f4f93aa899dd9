import type { IncomingMessage } from 'node:http'
import net from 'node:net'
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
function request(
  port: number,
  { server, path, port: configuredPort, requestTimeout }: ReadyCheckOptions,
  callback: (answer: string | null) => void,
): void {
  const isEncrypted = 'setSecureContext' in server()
  const client = isEncrypted ? process.getBuiltinModule('node:https') : http
  const outgoing = client.request({
    host: '127.0.0.1',
    port,
    path,
    agent: false,
    headers: { host: `localhost:${configuredPort}`, 'user-agent': READY_CHECK, connection: 'close' },
    // Its certificate is for the name that clients use.
    ...(isEncrypted ? { rejectUnauthorized: false } : {}),
  })
  const timeout = requestTimeout === UNBOUNDED ? ANSWER_TIMEOUT : requestTimeout
  const cancel = after(timeout, () => outgoing.destroy(new Error('no answer in time')))
  const finish = (answer: string | null): void => {
    cancel()
    outgoing.removeAllListeners('error').on('error', () => {})
    callback(answer)
  }
  outgoing.once('response', (response: IncomingMessage) => {
    const { statusCode: status = 0 } = response
    response.resume()
    finish(status >= 200 && status < 300 ? null : `status ${status}`)
  })
  outgoing.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message))
  outgoing.end()
}
