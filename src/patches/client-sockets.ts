/**
 * Patches of `net.Socket.prototype.connect`, `write` and `end`.
 *
 * Why: a request that times out reports the sockets it has written to, and Node publishes no event
 * for writes.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/async-operations.test.ts
 */
import net from 'node:net'
import { connectionOf } from '../http/scope.ts'
import { ClientSocket } from '../http/unnamed/client-socket.ts'
import { socketTarget } from '../http/unnamed/socket-target.ts'

/** Null on the prototype, so that the lookup on a server's sockets ends there. */
const clientOf: unique symbol = Symbol('punctual.client')

type Marked = net.Socket & {
  [clientOf]: ClientSocket | null
  [connectionOf]?: unknown
  readonly encrypted?: boolean
  /** The socket that a `TLSSocket` wraps. */
  readonly _parent?: Marked
}
type Method = (this: net.Socket, ...args: unknown[]) => unknown

/**
 * Marks the sockets that this process opens, and records which request has written to them. A write
 * to a server's socket costs one property lookup.
 */
export function patchClientSockets(): void {
  const prototype = net.Socket.prototype as unknown as Record<'connect' | 'write' | 'end', Method>
  const { connect, write, end } = prototype
  Object.defineProperty(prototype, clientOf, { value: null, writable: true })

  const methods = {
    connect(this: Marked, ...args: unknown[]): unknown {
      const client = new ClientSocket(this, socketTarget(args))
      this[clientOf] = client
      const result = connect.apply(this, args)
      client.await()
      return result
    },
    // Without rest parameters: allocating an array would slow down a server's sockets, too.
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
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(prototype, name, { value, writable: true, configurable: true, enumerable: true })
  }
}

/**
 * TLS started on a connection that was plain before, as databases do: its target is that of the
 * wrapped socket.
 */
function awaitUpgraded(socket: Marked): void {
  if (socket[connectionOf] !== undefined) return
  const wrapped = socket._parent?.[clientOf]
  if (wrapped === undefined || wrapped === null) return
  const client = new ClientSocket(socket, wrapped.target)
  socket[clientOf] = client
  client.await()
}
