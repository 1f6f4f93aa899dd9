import { guessProtocol } from './guess-protocol.ts'

/** Where a client socket leads: a host and a port, or the path of a Unix socket. */
export interface SocketTarget {
  /** Empty for a Unix socket. */
  readonly host: string
  /** 0 for a Unix socket. */
  readonly port: number
  /** Null for a host and a port. */
  readonly path: string | null
}

/** What `net.Socket.connect` was given, in any of its forms: `(port, host)`, `(path)`, `(options)`, or those in an array, as `net.connect` passes them on. */
export function socketTarget(args: readonly unknown[]): SocketTarget {
  const [first, second] = Array.isArray(args[0]) ? (args[0] as unknown[]) : args
  if (typeof first === 'object' && first !== null) {
    const { host, port, path } = first as { host?: unknown; port?: unknown; path?: unknown }
    return typeof path === 'string' && path !== '' ? unix(path) : tcp(host, port)
  }
  if (typeof first === 'string' && !/^\d+$/.test(first)) return unix(first)
  return tcp(second, first)
}

function unix(path: string): SocketTarget {
  return { host: '', port: 0, path }
}

function tcp(host: unknown, port: unknown): SocketTarget {
  return { host: typeof host === 'string' && host !== '' ? host : 'localhost', port: Number(port), path: null }
}

/** `127.0.0.1:5432`, `[::1]:5432` or `/run/redis.sock` */
export function tellTarget({ host, port, path }: SocketTarget): string {
  return path ?? `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The same with what is most likely spoken there: `127.0.0.1:5432 (postgresql)`. */
export function tellTargetProtocol(target: SocketTarget): string {
  const protocol = guessProtocol(target.path ?? target.port)
  return protocol === null ? tellTarget(target) : `${tellTarget(target)} (${protocol})`
}
