import net, { type AddressInfo } from 'node:net'

/** A TCP proxy for PostgreSQL that can lose sessions, like a router that drops idle connections. */
export interface LossyProxy {
  readonly port: number
  /**
   * Drops all further data of the open sessions with this `application_name`. Returns their number.
   */
  lose(name: RegExp): number
  close(): Promise<void>
}

export async function startLossyProxy(target: number): Promise<LossyProxy> {
  const sessions = new Set<{ name: string; readonly near: net.Socket; readonly far: net.Socket }>()
  const server = net.createServer((near) => {
    const far = net.connect(target, '127.0.0.1')
    const session = { name: '', near, far }
    sessions.add(session)
    // The startup message holds the parameters as names and values, separated by zero bytes.
    near.once('data', (bytes) => {
      session.name = /application_name\0([^\0]*)/.exec(bytes.toString('latin1'))?.[1] ?? ''
    })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (bytes) => to.write(bytes))
      from.on('end', () => to.end())
      from.on('error', () => {})
      from.on('close', () => to.destroy())
    }
    near.on('close', () => sessions.delete(session))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    lose: (name) => {
      const lost = [...sessions].filter((session) => name.test(session.name))
      for (const { near, far } of lost) for (const socket of [near, far]) socket.pause()
      return lost.length
    },
    close: () => {
      for (const { near, far } of sessions) for (const socket of [near, far]) socket.destroy()
      return new Promise((resolve) => {
        server.close(() => resolve())
      })
    },
  }
}
