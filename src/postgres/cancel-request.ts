import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls, { type ConnectionOptions } from 'node:tls'
import { after, type Cancel, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import type { PgClient } from './pg-types.ts'
import type { DestroyReason } from './pool-health.ts'
import type { ServerStatus } from './server-status.ts'

/** A session of a server to cancel. */
export interface CancelTarget {
  /** A host name or address; a path that starts with `/` is the directory of a Unix socket. */
  readonly host: string
  readonly port: number
  /** The host name for the certificate, if `host` is the address it was resolved to. */
  readonly serverName: string
  readonly ssl: boolean | ConnectionOptions
  /** TLS from the first byte, without a negotiation (`sslnegotiation=direct`). */
  readonly directTls: boolean
  readonly processId: number
  readonly secretKey: number | Uint8Array
  /** Creates the unconnected socket, as `stream` in the options of `pg` does. */
  readonly makeStream?: () => Duplex & { connect(port: number, host: string): unknown }
}

/**
 * Returns where to send a cancel request for this connection: to its remote address, because its
 * host name may resolve to another server. Undefined if the server or the driver gave no key.
 */
function cancelTargetOf(client: PgClient): CancelTarget | undefined {
  const { processID, secretKey, host, port, ssl, sslNegotiation, connection } = client
  if (processID === null || secretKey === null) return undefined
  const { remoteAddress, remotePort } = connection.stream
  const resolved = remoteAddress !== undefined && remotePort !== undefined
  return {
    host: resolved ? remoteAddress : host,
    port: resolved ? remotePort : port,
    serverName: host,
    ssl,
    directTls: sslNegotiation === 'direct',
    processId: processID,
    secretKey,
  }
}

/**
 * The outcome of a cancel request. `delivered`: the server has closed the connection, so it has
 * sent the signal. `unsent`: the server did not get the request. `doubtful`: the server got the
 * request, and the signal may still be sent.
 */
export type CancelOutcome = 'delivered' | 'unsent' | 'doubtful'

type RequestState =
  /** Connects, or negotiates TLS. */
  | 'connecting'
  /** The packet is written; the server closes the connection once it has sent the signal. */
  | 'sent'
  /** The outcome is known. */
  | 'settled'

const CANCEL_REQUEST_CODE = 80_877_102
const SSL_REQUEST_CODE = 80_877_103

/**
 * Returns the CancelRequest packet (PostgreSQL documentation, "Message Formats"): length, code,
 * process id, key. The key has four bytes in protocol 3.0 and up to 256 in 3.2.
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
 * One cancel request, on a connection of its own. PostgreSQL sends the signal and then closes the
 * connection. While the connection is open, the signal may still come and hit the next query of the
 * session, so nothing may be sent on the session before `done`.
 */
export class CancelRequest {
  /** Never rejects. */
  readonly done: Promise<CancelOutcome>
  #resolve: (outcome: CancelOutcome) => void = () => {}
  readonly #target: CancelTarget
  readonly #stopTimer: Cancel
  #socket: Duplex
  #state: RequestState = 'connecting'

  /** @param timeout for the whole request */
  constructor(target: CancelTarget, timeout: Milliseconds) {
    this.#target = target
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.#stopTimer = after(timeout, () => this.#finish(this.#state === 'sent' ? 'doubtful' : 'unsent'))
    const socket = target.makeStream?.() ?? new net.Socket()
    this.#socket = socket
    this.#watch(socket)
    socket.once('connect', () => this.#onConnect())
    if (target.host.startsWith('/')) (socket as net.Socket).connect(`${target.host}/.s.PGSQL.${target.port}`)
    else socket.connect(target.port, target.host)
  }

  /** The query has ended by itself. The request is not sent any more; one that was sent goes on. */
  withdraw(): void {
    if (this.#state === 'connecting') this.#finish('unsent')
  }

  #onConnect(): void {
    const { ssl, directTls } = this.#target
    if (this.#state === 'settled') return
    if (ssl === false) return this.#send()
    if (directTls) return this.#secure(ssl)
    this.#socket.write(Buffer.concat([int32(8), int32(SSL_REQUEST_CODE)]))
    this.#socket.once('data', (answer: Buffer) => {
      // The key of an encrypted session is not sent over a connection without encryption.
      if (answer.length === 1 && answer[0] === 0x53) this.#secure(ssl)
      else this.#finish('unsent')
    })
  }

  #secure(ssl: true | ConnectionOptions): void {
    if (this.#state === 'settled') return
    const { serverName, directTls } = this.#target
    const socket = tls.connect({
      ...(ssl === true ? {} : ssl),
      // pg makes the key not enumerable, so that it is not printed with the client.
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
    if (this.#state === 'settled') return
    this.#state = 'sent'
    this.#socket.write(cancelPacket(this.#target.processId, this.#target.secretKey))
    // Only a stream that is read emits its end.
    this.#socket.resume()
  }

  #watch(socket: Duplex): void {
    // After a reset it is unknown whether the server has handled the packet.
    socket.on('error', () => this.#finish(this.#state === 'sent' ? 'doubtful' : 'unsent'))
    socket.on('close', () => this.#finish(this.#state === 'sent' ? 'delivered' : 'unsent'))
  }

  #finish(outcome: CancelOutcome): void {
    if (this.#state === 'settled') return
    this.#state = 'settled'
    this.#stopTimer()
    this.#socket.destroy()
    this.#resolve(outcome)
  }
}

/** Why a connection must be destroyed, as a code and as a sentence. */
export type Fault = readonly [reason: DestroyReason, why: string]

export interface CancelResult {
  /** Cancel requests that the server received. */
  readonly delivered: number
  /** Null when the server is ready, or the connection lost, and no cancel request is open. */
  readonly fault: Fault | null
}

/** How long the first cancel may take before it is repeated, in milliseconds; doubled each time. */
const FIRST_RETRY = 100

/** Ends the running query of a connection: sends cancel requests until the server is ready. */
export async function cancelQuery(
  client: PgClient,
  server: ServerStatus,
  cancelTimeout: Milliseconds,
): Promise<CancelResult> {
  let delivered = 0
  const endWith = (...fault: Fault): CancelResult => ({ delivered, fault })
  const target = cancelTargetOf(client)
  if (target === undefined) return endWith('no-cancel-key', 'the server sent no key for cancel requests')
  const end = monotonicNow() + cancelTimeout
  for (let retryAfter = FIRST_RETRY; ; retryAfter *= 2) {
    const left = end - monotonicNow()
    if (left <= 0) {
      return endWith('cancel-timed-out', `a cancelled query did not end within ${formatElapsed(cancelTimeout)}`)
    }
    const request = new CancelRequest(target, ms(left))
    void server.whenReady().then(() => request.withdraw())
    const outcome = await request.done
    if (outcome === 'delivered') delivered++
    if (!server.isLost && outcome === 'doubtful') {
      return endWith('cancel-in-doubt', 'a cancel request may still reach the server')
    }
    // A request that came too early cancels nothing, and its connection may be refused: hence a
    // retry.
    await server.whenReady(ms(Math.min(retryAfter, Math.max(1, end - monotonicNow()))))
    if (server.isReady || server.isLost) return { delivered, fault: null }
  }
}
