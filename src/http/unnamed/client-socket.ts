import type { Socket } from 'node:net'
import { beginUnnamed, unansweredRequest } from './begin-unnamed.ts'
import { type SocketTarget, tellTarget, tellTargetProtocol } from './socket-target.ts'
import { UnnamedWait } from './unnamed-waits.ts'

/** How far a client socket has come. */
export type SocketPhase = 'connecting' | 'TLS handshake' | 'connected'

/** A request has written to a socket, or opened it, and nothing has been read from it since. */
export class SocketWait extends UnnamedWait {
  readonly client: ClientSocket
  /** What had been read when it began. */
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

  tell(): string {
    const { target } = this.client
    const { phase } = this
    if (phase === 'connecting') return `connecting to ${tellTarget(target)}`
    return phase === 'connected' ? tellTargetProtocol(target) : `TLS handshake with ${tellTarget(target)}`
  }
}

/**
 * What is known of a socket that this process has opened. Reading is not hooked: how many bytes a socket has read it knows itself, and that they have
 * not grown is all that must be known, and only when somebody asks.
 */
export class ClientSocket {
  readonly socket: Socket
  readonly target: SocketTarget
  #latest: SocketWait | null = null

  constructor(socket: Socket, target: SocketTarget) {
    this.socket = socket
    this.target = target
  }

  /** The running request expects something of it from now on, if it does not already. */
  await(): void {
    const scope = unansweredRequest()
    if (scope === undefined) return
    const wait = this.#waitIn(scope.unnamed)
    const { bytesRead } = this.socket
    this.#latest = wait
    // It waits already, since its first write that was not answered.
    if (wait.list !== null && wait.list === scope.unnamed && wait.bytesRead === bytesRead) return
    wait.bytesRead = bytesRead
    beginUnnamed(scope, wait)
  }

  /** A request's own wait. Several requests may wait at once on a socket that is shared (Redis); mostly they take turns, and one object does for all. */
  #waitIn(list: UnnamedWait['list']): SocketWait {
    const latest = this.#latest
    if (latest !== null && (latest.list === null || latest.list === list || latest.over)) return latest
    const own = list?.find((wait) => wait instanceof SocketWait && wait.client === this)
    return (own as SocketWait | null | undefined) ?? new SocketWait(this)
  }
}
