import net from 'node:net'
import { connectionOf } from '../scope.ts'
import { ClientSocket } from './client-socket.ts'
import { socketTarget } from './socket-target.ts'

/** On every socket: null on the prototype, so that the look-up on a server's sockets ends there at once. */
const clientOf: unique symbol = Symbol('punctual.client')

type Marked = net.Socket & {
  [clientOf]: ClientSocket | null
  [connectionOf]?: unknown
  readonly encrypted?: boolean
  /** Of a `TLSSocket`: the socket it was put around. */
  readonly _parent?: Marked
}
type Method = (this: net.Socket, ...args: unknown[]) => unknown

/**
 * Marks the sockets this process opens, and notes on those which request has written to them. A server's sockets pay for one look at a
 * property on each write.
 */
export function hookClientSockets(): void {
  const prototype = net.Socket.prototype as unknown as Record<'connect' | 'write' | 'end', Method>
  const { connect, write, end } = prototype
  Object.defineProperty(prototype, clientOf, { value: null, writable: true })

  const hooks = {
    connect(this: Marked, ...args: unknown[]): unknown {
      const client = new ClientSocket(this, socketTarget(args))
      this[clientOf] = client
      const result = connect.apply(this, args)
      client.await()
      return result
    },
    // With as many parameters as they have: to gather them into an array would cost a server's sockets, too.
    write(this: Marked, chunk: unknown, encoding?: unknown, callback?: unknown): unknown {
      const client = this[clientOf]
      if (client !== null) client.await()
      else if (this.encrypted === true) awaitUpgraded(this)
      return write.call(this, chunk, encoding, callback)
    },
    end(this: Marked, chunk?: unknown, encoding?: unknown, callback?: unknown): unknown {
      const client = this[clientOf]
      if (client !== null && chunk !== undefined && chunk !== null && typeof chunk !== 'function') client.await()
      return end.call(this, chunk, encoding, callback)
    },
  }
  for (const [name, value] of Object.entries(hooks)) {
    Object.defineProperty(prototype, name, { value, writable: true, configurable: true, enumerable: true })
  }
}

/** TLS begun on a connection that was plain before, as databases do: it leads where the socket beneath leads. Of a server's socket nothing is awaited. */
function awaitUpgraded(socket: Marked): void {
  if (socket[connectionOf] !== undefined) return
  const beneath = socket._parent?.[clientOf]
  if (beneath === undefined || beneath === null) return
  const client = new ClientSocket(socket, beneath.target)
  socket[clientOf] = client
  client.await()
}
