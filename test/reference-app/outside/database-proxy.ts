import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { pause } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { queryFrames } from './query-frames.ts'

/** Bounds of a random delay, in milliseconds. */
export type DelayRange = readonly [least: number, most: number]

/**
 * Stands between the app and PostgreSQL as a slow network does: it counts the queries that go through, and can hold each back for a
 * while, on the connection it came on, which is taken meanwhile.
 */
export interface DatabaseProxy {
  /** The connection string that leads through it. */
  readonly url: string
  /** Since it was started. `begin` and `commit` are queries too. */
  readonly queries: number
  /** Undefined: queries pass at once. */
  delay: DelayRange | undefined
  close(): Promise<void>
}

/** Whether a proxy can read what goes to this database: not over a Unix socket, and not when it is encrypted. */
export function canProxy(url: string, env: NodeJS.ProcessEnv): boolean {
  const { protocol, hostname, searchParams } = new URL(url)
  const mode = searchParams.get('sslmode') ?? env.PGSSLMODE ?? 'disable'
  const encrypts = mode !== 'disable' || [...searchParams.keys()].some((key) => /^ssl(?!mode)/.test(key))
  return /^postgres(ql)?:$/.test(protocol) && hostname !== '' && !searchParams.has('host') && !encrypts
}

/** Listens on a free port of this machine. `url` must be one that `canProxy` accepts. */
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
    // Whichever side goes takes the other along. Why is a matter of the two at the ends.
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
