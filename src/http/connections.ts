import type { Socket } from 'node:net'
import type { ConnectionTable } from './connection-table.ts'
import { type Connection, type ConnectionProtocol, connectionOf } from './scope.ts'

type Tracked = Socket & { [connectionOf]?: Connection }

/**
 * The open connections of this process's servers. In an array, not in a `Set`: the tables that a
 * `Set` outgrows retain their entries until the next full collection, which with one connection per
 * request is tens of megabytes of closed sockets.
 */
export class Connections implements Iterable<Connection> {
  readonly #table: ConnectionTable
  readonly #open: Connection[] = []

  constructor(table: ConnectionTable) {
    this.#table = table
  }

  get size(): number {
    return this.#open.length
  }

  of(socket: Socket): Connection | undefined {
    return (socket as Tracked)[connectionOf]
  }

  add(socket: Socket, protocol: ConnectionProtocol, fd: number, flags: number, now: number): Connection {
    const slot = this.#table.open(fd, flags, now)
    const connection: Connection = {
      socket,
      slot,
      protocol,
      sentBefore: 0,
      isClosing: false,
      scopes: [],
      lastSeen: now,
      upgradeProtocol: null,
      frames: null,
      place: this.#open.length,
    }
    ;(socket as Tracked)[connectionOf] = connection
    this.#open.push(connection)
    return connection
  }

  /** A socket that was created around the one of a connection carries its requests from now on. */
  wrap(connection: Connection, socket: Socket): void {
    connection.socket = socket
    ;(socket as Tracked)[connectionOf] = connection
  }

  /** The connection of the socket that this one was created around, if it is tracked. */
  ofWrapped(socket: Socket): Connection | undefined {
    const { _parent: inner } = socket as Socket & { readonly _parent?: Socket | null }
    return inner === undefined || inner === null ? undefined : this.of(inner)
  }

  /** Called when the socket is about to be destroyed, before its descriptor is closed. */
  remove(connection: Connection): void {
    const { place } = connection
    if (this.#open[place] !== connection) return
    // The last connection takes its place in the array.
    const last = this.#open.pop() as Connection
    if (last !== connection) {
      this.#open[place] = last
      last.place = place
    }
    this.#table.close(connection.slot)
    connection.slot = -1
  }

  [Symbol.iterator](): Iterator<Connection> {
    // A copy: the caller may close them.
    return [...this.#open][Symbol.iterator]()
  }
}
