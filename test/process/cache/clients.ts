import { Redis } from 'ioredis'
import { createClient } from 'redis'
import type { RedisClient } from '../../../src/cache/redis/redis-client.ts'

export interface ConnectedClient {
  readonly client: RedisClient
  close(): Promise<void>
}

/** Both libraries, connected as an app does. */
export const CLIENTS: Readonly<Record<'ioredis' | 'redis', (url: string) => Promise<ConnectedClient>>> = {
  ioredis: async (url) => {
    const client = new Redis(url, { retryStrategy: () => 100, maxRetriesPerRequest: 2 })
    client.on('error', () => {})
    return { client, close: async () => client.disconnect() }
  },
  redis: async (url) => {
    const client = createClient({ url, socket: { reconnectStrategy: 100 } })
    client.on('error', () => {})
    client.connect().catch(() => {})
    return {
      client,
      close: async () => {
        if (client.isOpen) client.destroy()
      },
    }
  },
}
