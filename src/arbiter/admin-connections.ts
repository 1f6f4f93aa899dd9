import type { Socket } from 'node:net'
import { afterIo, type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { AdminConnection, type AnswerRequest } from './admin-connection.ts'

export interface ConnectionLimits {
  /** Maximum number of connections. */
  readonly connections: number
  /** Maximum number of connections from one address. */
  readonly perAddress: number
  /** Maximum of unread answers and of requests behind them, over all connections, in bytes. */
  readonly held: number
  /** How long a client may take to send the head of a request. */
  readonly headTimeout: Milliseconds
  /** How long a client may take to read an answer, or idle. */
  readonly clientTimeout: Milliseconds
}

const CHECK_INTERVAL = ms(250)

/**
 * The connections of the admin server. A new one is always accepted: where there are too many, in
 * all or from its address, the longest silent one is closed, which is the one that has gone the
 * longest without completing a request. So clients that hold connections cannot lock out a probe,
 * not even from its own address.
 */
export class AdminConnections {
  readonly #limits: ConnectionLimits
  readonly #answer: AnswerRequest
  /** By address, the longest silent first: a `Set` keeps the order of insertion. */
  readonly #byAddress = new Map<string, Set<AdminConnection>>()
  readonly #stopChecking: Cancel
  #count = 0
  #held = 0
  #isClosing = false
  #onLastClosed: () => void = () => {}

  constructor(limits: ConnectionLimits, answer: AnswerRequest) {
    this.#limits = limits
    this.#answer = answer
    // After I/O, so that what arrived while this process was busy counts.
    this.#stopChecking = every(CHECK_INTERVAL, () => void afterIo(() => this.#endOverdue()))
  }

  /** Serves a connection that was accepted. */
  add(socket: Socket): void {
    socket.on('error', () => {})
    const address = addressGroup(socket.remoteAddress)
    if (address === null || this.#isClosing) {
      socket.destroy()
      return
    }
    const connection = new AdminConnection(socket, this.#answer, {
      onRequest: () => this.#renew(address, connection),
      onHeld: (change) => this.#hold(change, connection),
      onClosed: () => this.#remove(address, connection),
    })
    const neighbours = this.#byAddress.get(address) ?? new Set()
    this.#byAddress.set(address, neighbours.add(connection))
    this.#count += 1
    if (neighbours.size > this.#limits.perAddress) longestSilent(neighbours)?.reset()
    else if (this.#count > this.#limits.connections) this.#longestSilent()?.reset()
  }

  /** Ends idle connections; resolves when all are closed. */
  close(): Promise<void> {
    this.#isClosing = true
    for (const connection of this.#all()) connection.endWhenAnswered()
    if (this.#count === 0) {
      this.#stopChecking()
      return Promise.resolve()
    }
    return new Promise((resolve) => {
      this.#onLastClosed = () => {
        this.#stopChecking()
        resolve()
      }
    })
  }

  reset(): void {
    for (const connection of this.#all()) connection.reset()
  }

  #renew(address: string, connection: AdminConnection): void {
    const neighbours = this.#byAddress.get(address)
    if (neighbours?.delete(connection)) neighbours.add(connection)
  }

  #remove(address: string, connection: AdminConnection): void {
    const neighbours = this.#byAddress.get(address)
    if (!neighbours?.delete(connection)) return
    if (neighbours.size === 0) this.#byAddress.delete(address)
    this.#count -= 1
    if (this.#count === 0) this.#onLastClosed()
  }

  /** Of the address with the most connections. */
  #longestSilent(): AdminConnection | null {
    let found: AdminConnection | null = null
    let most = 0
    for (const neighbours of this.#byAddress.values()) {
      const first = longestSilent(neighbours)
      if (first === null || neighbours.size < most) continue
      if (neighbours.size > most || found === null || first.since < found.since) found = first
      most = neighbours.size
    }
    return found
  }

  #hold(change: number, by: AdminConnection): void {
    this.#held += change
    if (change <= 0 || this.#held <= this.#limits.held) return
    const holders = this.#all().filter((connection) => connection.held > 0 && connection !== by)
    holders.sort((one, other) => one.since - other.since)
    for (const holder of holders) {
      if (this.#held <= this.#limits.held) return
      holder.reset()
    }
  }

  #endOverdue(): void {
    const { headTimeout, clientTimeout } = this.#limits
    const now = monotonicNow()
    for (const connection of this.#all()) connection.endIfOverdue(now, headTimeout, clientTimeout)
  }

  #all(): AdminConnection[] {
    return [...this.#byAddress.values()].flatMap((neighbours) => [...neighbours])
  }
}

function longestSilent(connections: ReadonlySet<AdminConnection>): AdminConnection | null {
  const [first = null] = connections
  return first
}

/**
 * The address that limits count for; of IPv6 the network of 64 bits, since one machine has all
 * addresses in it. Null if the client has disconnected.
 */
export function addressGroup(address: string | undefined): string | null {
  if (address === undefined) return null
  if (!address.includes(':')) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail] = address.split('%', 1).join('').split('::')
  const groups = head === '' ? [] : head.split(':')
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length)
  const all = [...groups, ...Array.from({ length: missing }, () => '0'), ...(tail ? tail.split(':') : [])]
  return all.slice(0, 4).join(':')
}
