import net, { type AddressInfo } from 'node:net'

/** A TCP proxy that delays every byte by so many milliseconds, each way. */
export interface ShapedProxy {
  readonly url: string
  delay: number
  close(): Promise<void>
}

/** @param port default: a free one */
export async function startShapedProxy(target: number, port = 0): Promise<ShapedProxy> {
  const sockets = new Set<net.Socket>()
  const timers = new Set<NodeJS.Timeout>()
  const pipe = (from: net.Socket, to: net.Socket): void => {
    sockets.add(from)
    from.on('error', () => {})
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
    from.on('data', (bytes) => {
      const timer = setTimeout(() => {
        timers.delete(timer)
        to.write(bytes)
      }, proxy.delay)
      timers.add(timer)
    })
  }
  const server = net.createServer((near) => {
    const far = net.connect(target, '127.0.0.1')
    pipe(near, far)
    pipe(far, near)
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const proxy: ShapedProxy = {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    delay: 0,
    close: () => {
      for (const timer of timers) clearTimeout(timer)
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => {
        server.close(() => resolve())
      })
    },
  }
  return proxy
}
