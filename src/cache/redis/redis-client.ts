import { InvalidOptionError } from '../../errors/punctual-error.ts'
import { afterIo, monotonicNow } from '../../resilience/clock.ts'

/** A `Redis` or `Cluster` of `ioredis`, or a client of `redis`. Neither is imported. */
export interface RedisClient {
  on(event: string, listener: (...args: unknown[]) => void): unknown
  duplicate(): object
}

/** The common interface of both libraries. */
export interface RedisConnection {
  /** Sends one command; rejects as the client does. */
  send(args: readonly string[]): Promise<unknown>
  /** Whether the client has reported that its connection is lost. */
  readonly isLost: boolean
  /** Calls the listener whenever a connection has been made or lost. */
  onConnectionChange(listener: () => void): void
  /**
   * Since when a command waits while nothing is received, in monotonic milliseconds; null if none
   * does.
   */
  readonly silentSince: number | null
  /** When it has last replied, in monotonic milliseconds. */
  readonly repliedAt: number
  /** Breaks a connection that is silent and opens it again. To be called until it replies. */
  reopen(): void
  /** Closes what `reopen` has opened beside the client. */
  close(): void
}

/** A connection for subscriptions. */
export interface RedisSubscriber {
  /** Subscribes in this order and across reconnections. May be called again after it rejected. */
  subscribe(channels: readonly string[], onMessage: (channel: string, message: string) => void): Promise<void>
  onConnectionChange(listener: () => void): void
  /**
   * Breaks a connection that is silent and opens it again. To be called until it receives
   * something. Returns whether its subscriptions may be lost.
   */
  reopen(): boolean
  close(): void
}

interface IoRedis extends RedisClient {
  readonly status?: string
  call(command: string, ...args: string[]): Promise<unknown>
  subscribe(...channels: string[]): Promise<unknown>
  disconnect(): void
  connect(): Promise<unknown>
  /** The socket, also while it connects. */
  readonly stream?: { destroy(): void }
  /** Of a cluster. */
  nodes?(): IoRedis[]
}

interface NodeRedis extends RedisClient {
  readonly isOpen?: boolean
  sendCommand(args: readonly string[]): Promise<unknown>
  connect?(): Promise<unknown>
  subscribe(channel: string, onMessage: (message: string, channel: string) => void): Promise<unknown>
  unref?(): void
  destroy?(): void
}

const LOST_EVENTS = ['close', 'end', 'reconnecting']

/** @throws InvalidOptionError unless it is a client of one of the two libraries */
export function connectionOf(client: RedisClient): RedisConnection {
  const { send, reopen, onChange, close } = transportOf(client)
  const listeners: (() => void)[] = []
  let pending = 0
  const connection = {
    isLost: false,
    silentSince: null as number | null,
    repliedAt: 0,
    send: async (args: readonly string[]): Promise<unknown> => {
      connection.silentSince ??= monotonicNow()
      pending++
      try {
        const reply = await send(args)
        connection.repliedAt = monotonicNow()
        return reply
      } finally {
        // Replies come in order: one of them shows that the connection is alive.
        connection.silentSince = --pending === 0 ? null : monotonicNow()
      }
    },
    onConnectionChange: (listener: () => void) => void listeners.push(listener),
    reopen,
    close,
  }
  onChange((isLost) => {
    connection.isLost = isLost
    for (const listener of listeners) listener()
  })
  return connection
}

/** @param subscriber a connection of the app; null to duplicate `client` */
export function subscriberOf(client: RedisClient, subscriber: RedisClient | null): RedisSubscriber {
  const own = subscriber ?? (client.duplicate() as RedisClient)
  // Without a listener, an error of the client would become an uncaught exception.
  own.on('error', () => {})
  return isIoRedis(own) ? ioSubscriber(own, subscriber === null) : nodeSubscriber(own as NodeRedis, subscriber === null)
}

function ioSubscriber(client: IoRedis, isOurs: boolean): RedisSubscriber {
  let listening = false
  const reopener = new IoRedisReopener(client)
  return {
    onConnectionChange: (listener) => watchConnection(client, listener),
    reopen: () => reopener.reopen(),
    subscribe: async (channels, onMessage) => {
      if (!listening) client.on('message', (channel, message) => onMessage(String(channel), String(message)))
      listening = true
      await client.subscribe(...channels)
    },
    close: () => {
      if (isOurs) client.disconnect()
    },
  }
}

function nodeSubscriber(client: NodeRedis, isOurs: boolean): RedisSubscriber {
  const subscribed = new Set<string>()
  const replaceable = new ReplaceableNodeRedis(client)
  return {
    onConnectionChange: (listener) => replaceable.onChange(listener),
    reopen: () => {
      const isReplaced = replaceable.replace()
      if (isReplaced) subscribed.clear()
      return isReplaced
    },
    subscribe: async (channels, onMessage) => {
      if (client.isOpen !== true) await client.connect?.()
      for (const channel of channels) {
        if (subscribed.has(channel)) continue
        await replaceable.run((current) => current.subscribe(channel, (message, from) => onMessage(from, message)))
        subscribed.add(channel)
      }
    },
    close: () => {
      replaceable.close()
      if (isOurs && client.isOpen === true) client.destroy?.()
    },
  }
}

/** Milliseconds that an attempt to connect may take; a network that was cut drops its packets. */
const ATTEMPT_TIMEOUT = 1_000
/** Milliseconds between attempts if each is refused at once. */
const ATTEMPT_INTERVAL = 300

/**
 * Opens the connections of a client again. After a network was cut without a reset, TCP would
 * repeat what was sent at longer and longer intervals, and notice the end of the cut up to a minute
 * late; so would the back-off of the client.
 */
class IoRedisReopener {
  readonly #client: IoRedis
  #attemptAt = Number.NEGATIVE_INFINITY

  constructor(client: IoRedis) {
    this.#client = client
  }

  /** Returns whether it has broken a connection or started another attempt. */
  reopen(): boolean {
    const age = monotonicNow() - this.#attemptAt
    const nodes = this.#client.nodes?.() ?? [this.#client]
    return nodes.map((node) => this.#reopen(node, age)).includes(true)
  }

  #reopen(node: IoRedis, age: number): boolean {
    const { status } = node
    if (status === 'reconnecting') {
      if (age < ATTEMPT_INTERVAL) return false
      this.#attemptAt = monotonicNow()
      node.connect().catch(() => {})
      return true
    }
    const isAttempt = status === 'connecting' || status === 'connect' || status === 'ready'
    if (!isAttempt || age < ATTEMPT_TIMEOUT) return false
    // It goes on as soon as the client has noticed.
    this.#attemptAt = monotonicNow() - ATTEMPT_INTERVAL
    node.stream?.destroy()
    return true
  }
}

/**
 * A client of `redis` that a duplicate stands in for while its connection is silent.
 *
 * The socket of such a client is not accessible. To close it and connect again does not end an
 * attempt to connect that is under way: several connections would be made, and their replies
 * mixed.
 */
class ReplaceableNodeRedis {
  readonly #client: NodeRedis
  #current: NodeRedis
  #attemptAt = Number.NEGATIVE_INFINITY
  readonly #listeners: ((isLost: boolean) => void)[] = []
  /** Reject what the current client has not settled. */
  readonly #unsettled = new Set<(error: Error) => void>()

  constructor(client: NodeRedis) {
    this.#client = client
    this.#current = client
    this.#watch(client)
    // The app has closed it.
    client.on('end', () => this.close())
  }

  /** Calls the listener whenever the connection in use has been made or lost. */
  onChange(listener: (isLost: boolean) => void): void {
    this.#listeners.push(listener)
  }

  /** Rejects if the client is replaced meanwhile. */
  run<T>(work: (client: NodeRedis) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#unsettled.add(reject)
      const end = (): boolean => this.#unsettled.delete(reject)
      work(this.#current).then(resolve, reject).then(end, end)
    })
  }

  /**
   * Uses another duplicate from now on, unless one is being connected. Returns whether it does.
   */
  replace(): boolean {
    const { isOpen } = this.#client
    // Closed by the app, or a cluster, whose connections are not accessible.
    if (monotonicNow() - this.#attemptAt < ATTEMPT_TIMEOUT || isOpen !== true || 'masters' in this.#client) return false
    this.#attemptAt = monotonicNow()
    const next = this.#client.duplicate() as NodeRedis
    this.#use(next)
    // A client that is closed while its socket connects still uses it: it is closed again then.
    next.on('connect', () => {
      if (this.#current !== next) afterIo(() => destroyQuietly(next))
    })
    next.on('error', () => {})
    this.#watch(next)
    next.unref?.()
    next.connect?.().catch(() => {})
    return true
  }

  /** Closes the duplicate in use, if any; not the client of the app. */
  close(): void {
    if (this.#current !== this.#client) this.#use(this.#client)
  }

  #use(next: NodeRedis): void {
    const before = this.#current
    this.#current = next
    for (const listener of this.#listeners) listener(true)
    for (const reject of this.#unsettled) reject(new Error('the connection to Redis is silent, and was replaced'))
    this.#unsettled.clear()
    if (before !== this.#client) destroyQuietly(before)
  }

  #watch(client: NodeRedis): void {
    watchConnection(client, (isLost) => {
      if (this.#current === client) for (const listener of this.#listeners) listener(isLost)
    })
  }
}

function destroyQuietly(client: NodeRedis): void {
  try {
    client.destroy?.()
  } catch {
    // It is closed already.
  }
}

interface Transport {
  send(args: readonly string[]): Promise<unknown>
  /** Breaks a silent connection and opens it again, or uses another one. */
  reopen(): void
  onChange(listener: (isLost: boolean) => void): void
  close(): void
}

function watchConnection(client: RedisClient, onChange: (isLost: boolean) => void): void {
  for (const event of LOST_EVENTS) client.on(event, () => onChange(true))
  client.on('ready', () => onChange(false))
}

function transportOf(client: RedisClient): Transport {
  client.on('error', () => {})
  if (isIoRedis(client)) {
    const reopener = new IoRedisReopener(client)
    return {
      send: ([command = '', ...args]) => client.call(command, ...args),
      reopen: () => void reopener.reopen(),
      onChange: (listener) => watchConnection(client, listener),
      close: () => {},
    }
  }
  if ('sendCommand' in client && typeof client.sendCommand === 'function') {
    const replaceable = new ReplaceableNodeRedis(client as NodeRedis)
    return {
      send: (args) => replaceable.run((current) => current.sendCommand(args)),
      reopen: () => void replaceable.replace(),
      onChange: (listener) => replaceable.onChange(listener),
      close: () => replaceable.close(),
    }
  }
  const must = 'must be a Redis of `ioredis`, or what `createClient` of `redis` returns'
  throw new InvalidOptionError('readThrough', 'redis', client, must)
}

// Both have `sendCommand`, with different arguments.
function isIoRedis(client: RedisClient): client is IoRedis {
  return 'call' in client && typeof client.call === 'function'
}
