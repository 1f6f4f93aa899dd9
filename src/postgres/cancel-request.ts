import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls, { type ConnectionOptions } from 'node:tls'
import { after, type Cancel } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'

/** Which session of which server. */
export interface CancelTarget {
  /** A host name or address; a path that begins with `/` is the directory of a Unix socket. */
  readonly host: string
  readonly port: number
  /** The name to check a certificate against, where `host` is the address it was resolved to. */
  readonly serverName: string
  readonly ssl: boolean | ConnectionOptions
  /** TLS from the first byte, without asking for it (`sslnegotiation=direct`). */
  readonly directTls: boolean
  readonly processId: number
  readonly secretKey: number | Uint8Array
  /** Makes the unconnected socket, as `stream` in the options of `pg` does. */
  readonly makeStream?: () => Duplex & { connect(port: number, host: string): unknown }
}

/**
 * How it went. `delivered`: the server has closed the connection, so the signal has been sent. `unsent`: nothing was asked of the server.
 * `doubtful`: it was asked, and nobody knows whether a signal is still under way.
 */
export type CancelOutcome = 'delivered' | 'unsent' | 'doubtful'

const CANCEL_REQUEST_CODE = 80_877_102
const SSL_REQUEST_CODE = 80_877_103

/**
 * The packet that asks for a cancel (PostgreSQL documentation, "Message Formats", CancelRequest): length, code, process id, key.
 * The key has four bytes in protocol 3.0 and up to 256 in 3.2.
 */
export function cancelPacket(processId: number, secretKey: number | Uint8Array): Buffer {
  const key = typeof secretKey === 'number' ? int32(secretKey) : secretKey
  return Buffer.concat([int32(12 + key.length), int32(CANCEL_REQUEST_CODE), int32(processId), key])
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeInt32BE(value | 0)
  return bytes
}

/**
 * One cancel, on a connection of its own. PostgreSQL sends the signal and then closes the connection without a word: while it is open
 * the signal may still come, and would hit whatever the session is doing then. So nothing may be sent on that session before `done`.
 */
export class CancelRequest {
  /** Never rejects. */
  readonly done: Promise<CancelOutcome>
  #resolve: (outcome: CancelOutcome) => void = () => {}
  readonly #target: CancelTarget
  readonly #cancelTimer: Cancel
  #socket: Duplex
  #sent = false
  #over = false

  /** @param limit for all of it, in milliseconds */
  constructor(target: CancelTarget, limit: Milliseconds) {
    this.#target = target
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.#cancelTimer = after(limit, () => this.#finish(this.#sent ? 'doubtful' : 'unsent'))
    const socket = target.makeStream?.() ?? new net.Socket()
    this.#socket = socket
    this.#watch(socket)
    socket.once('connect', () => this.#onConnect())
    if (target.host.startsWith('/')) (socket as net.Socket).connect(`${target.host}/.s.PGSQL.${target.port}`)
    else socket.connect(target.port, target.host)
  }

  /** The query has ended by itself: what has not been sent is not sent. What has been sent must be waited for. */
  withdraw(): void {
    if (!this.#sent) this.#finish('unsent')
  }

  #onConnect(): void {
    const { ssl, directTls } = this.#target
    if (this.#over) return
    if (ssl === false) return this.#send()
    if (directTls) return this.#secure(ssl)
    this.#socket.write(Buffer.concat([int32(8), int32(SSL_REQUEST_CODE)]))
    this.#socket.once('data', (answer: Buffer) => {
      // A session that is encrypted is not cancelled over a connection that is not: its key would be there for all to read.
      if (answer.length === 1 && answer[0] === 0x53) this.#secure(ssl)
      else this.#finish('unsent')
    })
  }

  #secure(ssl: true | ConnectionOptions): void {
    if (this.#over) return
    const { serverName, directTls } = this.#target
    const socket = tls.connect({
      ...(ssl === true ? {} : ssl),
      // pg hides the key from enumeration, so that it is not printed with its client.
      ...(ssl !== true && 'key' in ssl ? { key: ssl.key } : {}),
      ...(directTls ? { ALPNProtocols: ['postgresql'] } : {}),
      ...(net.isIP(serverName) === 0 ? { servername: serverName } : {}),
      host: serverName,
      socket: this.#socket,
    })
    this.#socket = socket
    this.#watch(socket)
    socket.once('secureConnect', () => this.#send())
  }

  #send(): void {
    if (this.#over) return
    this.#sent = true
    this.#socket.write(cancelPacket(this.#target.processId, this.#target.secretKey))
    // Only a stream that is read sees its end.
    this.#socket.resume()
  }

  #watch(socket: Duplex): void {
    // A reset after the packet is no sign that the server has dealt with it.
    socket.on('error', () => this.#finish(this.#sent ? 'doubtful' : 'unsent'))
    socket.on('close', () => this.#finish(this.#sent ? 'delivered' : 'unsent'))
  }

  #finish(outcome: CancelOutcome): void {
    if (this.#over) return
    this.#over = true
    this.#cancelTimer()
    this.#socket.destroy()
    this.#resolve(outcome)
  }
}
