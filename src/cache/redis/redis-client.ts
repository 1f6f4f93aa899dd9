import { InvalidOptionError } from '../../errors/punctual-error.ts'

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
}

/** A connection for subscriptions. */
export interface RedisSubscriber {
  /** Subscribes in this order and across reconnections. May be called again after it rejected. */
  subscribe(channels: readonly string[], onMessage: (channel: string, message: string) => void): Promise<void>
  onConnectionChange(listener: () => void): void
  close(): void
}

interface IoRedis extends RedisClient {
  readonly status?: string
  call(command: string, ...args: string[]): Promise<unknown>
  subscribe(...channels: string[]): Promise<unknown>
  disconnect(): void
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
  const connection = {
    send,
    isLost: false,
    onConnectionChange: (listener: () => void) => void listeners.push(listener),
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
  return {
    onConnectionChange,
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
  return {
    onConnectionChange,
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
