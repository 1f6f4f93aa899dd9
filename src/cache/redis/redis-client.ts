import { InvalidOptionError } from '../../errors/punctual-error.ts'
import { monotonicNow } from '../../resilience/clock.ts'

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
  readonly isReady?: boolean
  sendCommand(args: readonly string[]): Promise<unknown>
  connect(): Promise<unknown>
  subscribe(channel: string, onMessage: (message: string, channel: string) => void): Promise<unknown>
  destroy(): void
}

const LOST_EVENTS = ['close', 'end', 'reconnecting']

/** @throws InvalidOptionError unless it is a client of one of the two libraries */
export function connectionOf(client: RedisClient): RedisConnection {
  const send = senderOf(client)
  const listeners: (() => void)[] = []
  const reopener = new Reopener(client)
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
    reopen: () => reopener.reopen(),
  }
  watchConnection(client, (isLost) => {
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
  const onConnectionChange = (listener: () => void): void => watchConnection(own, listener)
  return isIoRedis(own)
    ? ioSubscriber(own, subscriber === null, onConnectionChange)
    : nodeSubscriber(own as NodeRedis, subscriber === null, onConnectionChange)
}

function ioSubscriber(client: IoRedis, isOurs: boolean, onConnectionChange: OnChange): RedisSubscriber {
  let listening = false
  const reopener = new Reopener(client)
  return {
    onConnectionChange,
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

function nodeSubscriber(client: NodeRedis, isOurs: boolean, onConnectionChange: OnChange): RedisSubscriber {
  const subscribed = new Set<string>()
  const reopener = new Reopener(client)
  return {
    onConnectionChange,
    reopen: () => {
      const hasReopened = reopener.reopen()
      // The client forgets its subscriptions when it is closed.
      if (hasReopened) subscribed.clear()
      return hasReopened
    },
    subscribe: async (channels, onMessage) => {
      if (client.isOpen !== true) await client.connect()
      for (const channel of channels) {
        if (subscribed.has(channel)) continue
        await client.subscribe(channel, (message, from) => onMessage(from, message))
        subscribed.add(channel)
      }
    },
    close: () => {
      if (isOurs && client.isOpen === true) client.destroy()
    },
  }
}

/** Milliseconds that an attempt to connect may take; a network that was cut drops its packets. */
const ATTEMPT_TIMEOUT = 1_000
/** Milliseconds between attempts if each is refused at once. */
const ATTEMPT_INTERVAL = 300

/**
 * Opens the connection of a client again. After a network was cut without a reset, TCP would repeat
 * what was sent at longer and longer intervals, and notice the end of the cut up to a minute late;
 * so would the back-off of the client.
 */
class Reopener {
  readonly #client: RedisClient
  #attemptAt = Number.NEGATIVE_INFINITY

  constructor(client: RedisClient) {
    this.#client = client
  }

  /** Returns whether it has broken a connection or started another attempt. */
  reopen(): boolean {
    const client = this.#client
    const age = monotonicNow() - this.#attemptAt
    if (isIoRedis(client)) {
      const nodes = client.nodes?.() ?? [client]
      return nodes.map((node) => this.#reopenIoRedis(node, age)).includes(true)
    }
    const { isOpen, connect, destroy } = client as NodeRedis
    // Closed by the app, or a cluster, whose connections are not accessible.
    if (age < ATTEMPT_TIMEOUT || isOpen !== true || connect === undefined || 'masters' in client) return false
    this.#attemptAt = monotonicNow()
    try {
      destroy.call(client)
    } catch {
      // It is closing already.
    }
    connect.call(client).catch(() => {})
    return true
  }

  #reopenIoRedis(node: IoRedis, age: number): boolean {
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

type OnChange = RedisSubscriber['onConnectionChange']

function watchConnection(client: RedisClient, onChange: (isLost: boolean) => void): void {
  for (const event of LOST_EVENTS) client.on(event, () => onChange(true))
  client.on('ready', () => onChange(false))
}

function senderOf(client: RedisClient): RedisConnection['send'] {
  client.on('error', () => {})
  if (isIoRedis(client)) return ([command = '', ...args]) => client.call(command, ...args)
  if ('sendCommand' in client && typeof client.sendCommand === 'function') {
    const { sendCommand } = client as NodeRedis
    return (args) => sendCommand.call(client, args)
  }
  const must = 'must be a Redis of `ioredis`, or what `createClient` of `redis` returns'
  throw new InvalidOptionError('readThrough', 'redis', client, must)
}

// Both have `sendCommand`, with different arguments.
function isIoRedis(client: RedisClient): client is IoRedis {
  return 'call' in client && typeof client.call === 'function'
}
