import type { Socket } from 'node:net'
import { unansweredRequest } from '../scope.ts'
import { formatTarget, formatTargetWithProtocol, type SocketTarget } from './socket-target.ts'
import { UnnamedWait } from './unnamed-waits.ts'

export type SocketPhase = 'connecting' | 'TLS handshake' | 'connected'

/** A request has opened a socket, or written to it, and nothing has been read from it since. */
export class SocketWait extends UnnamedWait {
  readonly client: ClientSocket
  /** Bytes that had been read when it started. */
  bytesRead = 0

  constructor(client: ClientSocket) {
    super()
    this.client = client
  }

  get over(): boolean {
    const { socket } = this.client
    return socket.destroyed || socket.bytesRead !== this.bytesRead
  }

  get phase(): SocketPhase {
    const { socket } = this.client
    if (socket.connecting) return 'connecting'
    return (socket as Socket & { secureConnecting?: boolean }).secureConnecting === true ? 'TLS handshake' : 'connected'
  }

  describe(): string {
    const { target } = this.client
    const { phase } = this
    if (phase === 'connecting') return `connecting to ${formatTarget(target)}`
    return phase === 'connected' ? formatTargetWithProtocol(target) : `TLS handshake with ${formatTarget(target)}`
  }
}

/**
 * A socket that this process has opened. Reads are not patched: the socket knows how many bytes it
 * has read, and that this number has not grown is all that must be known, and only on demand.
 */
export class ClientSocket {
  readonly socket: Socket
  readonly target: SocketTarget
  #latest: SocketWait | null = null

  constructor(socket: Socket, target: SocketTarget) {
    this.socket = socket
    this.target = target
  }

  /** Records that the running request waits for data from now on, unless it does already. */
  await(): void {
    const scope = unansweredRequest()
    if (scope === undefined) return
    const wait = this.#waitIn(scope.unnamed)
    const { bytesRead } = this.socket
    this.#latest = wait
    // It has been waiting since its first write that was not answered.
    if (wait.list !== null && wait.list === scope.unnamed && wait.bytesRead === bytesRead) return
    wait.bytesRead = bytesRead
    scope.beginUnnamed(wait)
  }

  /**
   * The wait of this request. Several requests may wait on a shared socket (Redis) at once; mostly
   * they take turns, and reuse one object.
   */
  #waitIn(list: UnnamedWait['list']): SocketWait {
    const latest = this.#latest
    if (latest !== null && (latest.list === null || latest.list === list || latest.over)) return latest
    const own = list?.find((wait) => wait instanceof SocketWait && wait.client === this)
    return (own as SocketWait | null | undefined) ?? new SocketWait(this)
  }
}
