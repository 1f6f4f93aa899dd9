import type { Socket } from 'node:net'
import type { ConnectionTable } from './connection-table.ts'
import { type Connection, type ConnectionProtocol, connectionOf } from './scope.ts'

type Tracked = Socket & { [connectionOf]?: Connection }

/**
 * The open connections of this process's servers. In an array, and not in a `Set`: the tables that a `Set` outgrows and leaves behind hold on to what they had
 * in them until the next full collection, and with a new connection for each request that is tens of megabytes of closed sockets.
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

  add(socket: Socket, speech: ConnectionProtocol, fd: number, flags: number, now: number): Connection {
    const slot = this.#table.open(fd, flags, now)
    const connection: Connection = {
      socket,
      slot,
      protocol: speech,
      scopes: [],
      lastSeen: now,
      upgradeProtocol: null,
      place: this.#open.length,
    }
    ;(socket as Tracked)[connectionOf] = connection
    this.#open.push(connection)
    return connection
  }

  /** To be called when the socket begins to be destroyed, while its descriptor is still its own. */
  remove(connection: Connection): void {
    const { place } = connection
    if (this.#open[place] !== connection) return
    // The last takes its place.
    const last = this.#open.pop() as Connection
    if (last !== connection) {
      this.#open[place] = last
      last.place = place
    }
    this.#table.close(connection.slot)
    connection.slot = -1
  }

  [Symbol.iterator](): Iterator<Connection> {
    // A copy: whoever looks at them may close them.
    return [...this.#open][Symbol.iterator]()
  }
}
