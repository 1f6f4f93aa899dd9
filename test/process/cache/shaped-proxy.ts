import net, { type AddressInfo } from 'node:net'

/**
 * A TCP proxy that delays every byte in both directions by `delay` milliseconds. A change affects
 * later bytes only.
 */
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
    // In order, even when the delay changes.
    const delayed: { readonly bytes: Buffer; readonly due: number }[] = []
    const deliver = (): void => {
      while (delayed[0] !== undefined && delayed[0].due <= performance.now()) to.write(delayed.shift()?.bytes ?? '')
      const [next] = delayed
      if (next === undefined) return
      const timer = setTimeout(
        () => {
          timers.delete(timer)
          deliver()
        },
        Math.ceil(next.due - performance.now()),
      )
      timers.add(timer)
    }
    from.on('data', (bytes) => {
      const due = Math.max(performance.now() + proxy.delay, delayed.at(-1)?.due ?? 0)
      if (delayed.push({ bytes, due }) === 1) deliver()
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
