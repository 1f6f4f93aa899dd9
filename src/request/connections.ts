import type { Socket } from 'node:net'
import type { ConnectionTable } from './connection-table.ts'
import { type Connection, connectionOf, type Speech } from './scope.ts'

type Tracked = Socket & { [connectionOf]?: Connection }

/** The open connections of this process's servers. */
export class Connections implements Iterable<Connection> {
  readonly #table: ConnectionTable
  readonly #open = new Set<Connection>()

  constructor(table: ConnectionTable) {
    this.#table = table
  }

  get size(): number {
    return this.#open.size
  }

  of(socket: Socket): Connection | undefined {
    return (socket as Tracked)[connectionOf]
  }

  add(socket: Socket, speech: Speech, fd: number, flags: number, now: number): Connection {
    const slot = this.#table.open(fd, flags, now)
    const connection: Connection = { socket, slot, speech, scopes: [], lastSeen: now, protocol: null }
    ;(socket as Tracked)[connectionOf] = connection
    this.#open.add(connection)
    return connection
  }

  /** To be called when the socket begins to be destroyed, while its descriptor is still its own. */
  remove(connection: Connection): void {
    if (!this.#open.delete(connection)) return
    this.#table.close(connection.slot)
    connection.slot = -1
  }

  [Symbol.iterator](): Iterator<Connection> {
    return this.#open[Symbol.iterator]()
  }
}
