import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { pause } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { queryFrames } from './query-frames.ts'

/** Bounds of a random delay, in milliseconds. */
export type DelayRange = readonly [least: number, most: number]

/**
 * A proxy between the app and PostgreSQL that acts like a slow network: it counts queries and can
 * delay each one. Its connection stays in use meanwhile.
 */
export interface DatabaseProxy {
  /** The connection string for clients of the proxy. */
  readonly url: string
  /** Queries since the start. `begin` and `commit` count too. */
  readonly queries: number
  /** Undefined: no delay. */
  delay: DelayRange | undefined
  close(): Promise<void>
}

/**
 * Returns whether a proxy can read the traffic: not over a Unix socket, and not if it is encrypted.
 */
export function canProxy(url: string, env: NodeJS.ProcessEnv): boolean {
  const { protocol, hostname, searchParams } = new URL(url)
  const mode = searchParams.get('sslmode') ?? env.PGSSLMODE ?? 'disable'
  const encrypts = mode !== 'disable' || [...searchParams.keys()].some((key) => /^ssl(?!mode)/.test(key))
  return /^postgres(ql)?:$/.test(protocol) && hostname !== '' && !searchParams.has('host') && !encrypts
}

/** Listens on a free port of this machine. `canProxy` must accept `url`. */
export async function startDatabaseProxy(url: string): Promise<DatabaseProxy> {
  const target = new URL(url)
  const host = target.hostname.replace(/^\[(.*)\]$/, '$1')
  const port = target.port === '' ? 5432 : Number(target.port)
  const sockets = new Set<Socket>()
  let delay: DelayRange | undefined
  let queries = 0

  async function* held(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const { bytes, isQuery } of queryFrames(source)) {
      if (isQuery) {
        queries += 1
        if (delay !== undefined) await pause(ms(delay[0] + Math.random() * (delay[1] - delay[0])))
      }
      yield bytes
    }
  }

  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host, port, noDelay: true })
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    }
    // Closing one side closes the other; the ends of the connection handle the reason.
    pipeline(near, held, far).catch(() => {})
    pipeline(far, near).catch(() => {})
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const through = new URL(url)
  through.hostname = '127.0.0.1'
  through.port = String((server.address() as AddressInfo).port)

  return {
    url: through.href,
    get queries() {
      return queries
    },
    get delay() {
      return delay
    },
    set delay(range) {
      delay = range
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
