import net, { type AddressInfo } from 'node:net'

/** A TCP proxy that can stop forwarding while it keeps connections open and accepts new ones. */
export interface SilentProxy {
  readonly port: number
  /** Stops forwarding in both directions, until `speak`. */
  silence(): void
  speak(): void
  /** Forwards for new connections; what those of the silence have sent is lost. */
  speakToNew(): void
  /** Closes new connections at once; open ones continue. */
  refuse(): void
  close(): Promise<void>
}

export async function startSilentProxy(target: number): Promise<SilentProxy> {
  const sockets = new Set<net.Socket>()
  let silent = false
  let refusing = false
  const keep = (socket: net.Socket): void => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    if (silent) socket.pause()
  }
  const server = net.createServer((near) => {
    if (refusing) return near.destroy()
    const far = net.connect(target, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (bytes) => to.write(bytes))
      from.on('end', () => to.end())
      from.on('close', () => to.destroy())
      keep(from)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    silence: () => {
      silent = true
      for (const socket of sockets) socket.pause()
    },
    speak: () => {
      silent = false
      for (const socket of sockets) socket.resume()
    },
    speakToNew: () => {
      silent = false
    },
    refuse: () => {
      refusing = true
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => {
        server.close(() => resolve())
      })
    },
  }
}
