import { InvalidOptionError } from '../../errors/invalid-option-error.ts'

/**
 * A client of Redis, as far as a cache needs it: a `Redis` or `Cluster` of `ioredis`, or what `createClient` of `redis` makes. Neither is imported.
 */
export interface RedisClient {
  on(event: string, listener: (...args: unknown[]) => void): unknown
  duplicate(): object
}

/** What both have in common, once they are told apart. */
export interface RedisConnection {
  /** Sends one command; rejects as the client does. */
  send(args: readonly string[]): Promise<unknown>
  /** Whether it is known to be without a connection now. */
  readonly isLost: boolean
  /** Called whenever a connection has been made or lost. */
  onTurn(turned: () => void): void
}

/** A connection that only hears. */
export interface RedisSubscriber {
  /** Hears these channels from now on, over reconnections too; in this order. May be called again after it rejected. */
  subscribe(channels: readonly string[], heard: (channel: string, message: string) => void): Promise<void>
  onTurn(turned: () => void): void
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
  subscribe(channel: string, heard: (message: string, channel: string) => void): Promise<unknown>
  destroy(): void
}

const LOST_BY = ['close', 'end', 'reconnecting']

/** @throws InvalidOptionError unless it is a client of one of the two libraries */
export function connectionOf(client: RedisClient): RedisConnection {
  const send = senderOf(client)
  const turned: (() => void)[] = []
  const connection = {
    send,
    isLost: false,
    onTurn: (listener: () => void) => void turned.push(listener),
  }
  watchTurns(client, (isLost) => {
    connection.isLost = isLost
    for (const listener of turned) listener()
  })
  return connection
}

/** @param subscriber a connection of its own that the app has made; null to make one like `client` */
export function subscriberOf(client: RedisClient, subscriber: RedisClient | null): RedisSubscriber {
  const own = subscriber ?? (client.duplicate() as RedisClient)
  // A client that nobody listens to throws its errors into the process.
  own.on('error', () => {})
  const onTurn = (turned: () => void): void => watchTurns(own, turned)
  return isIoRedis(own)
    ? ioSubscriber(own, subscriber === null, onTurn)
    : nodeSubscriber(own as NodeRedis, subscriber === null, onTurn)
}

function ioSubscriber(client: IoRedis, isOurs: boolean, onTurn: RedisSubscriber['onTurn']): RedisSubscriber {
  let listening = false
  return {
    onTurn,
    subscribe: async (channels, heard) => {
      if (!listening) client.on('message', (channel, message) => heard(String(channel), String(message)))
      listening = true
      await client.subscribe(...channels)
    },
    close: () => {
      if (isOurs) client.disconnect()
    },
  }
}

function nodeSubscriber(client: NodeRedis, isOurs: boolean, onTurn: RedisSubscriber['onTurn']): RedisSubscriber {
  const subscribed = new Set<string>()
  return {
    onTurn,
    subscribe: async (channels, heard) => {
      if (client.isOpen !== true) await client.connect()
      for (const channel of channels) {
        if (subscribed.has(channel)) continue
        await client.subscribe(channel, (message, from) => heard(from, message))
        subscribed.add(channel)
      }
    },
    close: () => {
      if (isOurs && client.isOpen === true) client.destroy()
    },
  }
}

function watchTurns(client: RedisClient, turned: (isLost: boolean) => void): void {
  for (const event of LOST_BY) client.on(event, () => turned(true))
  client.on('ready', () => turned(false))
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

// `sendCommand` exists in both, with different arguments.
function isIoRedis(client: RedisClient): client is IoRedis {
  return 'call' in client && typeof client.call === 'function'
}
