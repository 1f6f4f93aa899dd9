/** What a client socket connects to: a host and a port, or a Unix socket. */
export interface SocketTarget {
  /** Empty for a Unix socket. */
  readonly host: string
  /** 0 for a Unix socket. */
  readonly port: number
  /** Path of the Unix socket; null for a host and a port. */
  readonly path: string | null
}

/**
 * Reads the arguments of `net.Socket.connect`: `(port, host)`, `(path)`, `(options)`, or any of
 * these in an array, as `net.connect` passes them on.
 */
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
export function formatTarget({ host, port, path }: SocketTarget): string {
  return path ?? `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The same with the protocol that is usual there: `127.0.0.1:5432 (postgresql)`. */
export function formatTargetWithProtocol(target: SocketTarget): string {
  const protocol = guessProtocol(target.path ?? target.port)
  return protocol === null ? formatTarget(target) : `${formatTarget(target)} (${protocol})`
}

/**
 * Protocols by port: the registered name (IANA) if there is one, else what commonly uses the port.
 */
const BY_PORT: ReadonlyMap<number, string> = new Map([
  [21, 'ftp'],
  [22, 'ssh'],
  [25, 'smtp'],
  [53, 'dns'],
  [80, 'http'],
  [143, 'imap'],
  [389, 'ldap'],
  [443, 'https'],
  [465, 'smtp'],
  [587, 'smtp'],
  [636, 'ldap'],
  [993, 'imap'],
  [1433, 'sqlserver'],
  [1521, 'oracle'],
  [1883, 'mqtt'],
  [2181, 'zookeeper'],
  [2379, 'etcd'],
  [3306, 'mysql'],
  [4222, 'nats'],
  [5432, 'postgresql'],
  [5671, 'amqp'],
  [5672, 'amqp'],
  [6379, 'redis'],
  [6380, 'redis'],
  [6432, 'postgresql'],
  [8080, 'http'],
  [8123, 'clickhouse'],
  [8443, 'https'],
  [8883, 'mqtt'],
  [9042, 'cassandra'],
  [9092, 'kafka'],
  [9200, 'elasticsearch'],
  [11211, 'memcached'],
  [26379, 'redis sentinel'],
  [27017, 'mongodb'],
])

/** Protocols by the usual file names of Unix sockets. */
const BY_PATH: readonly (readonly [RegExp, string])[] = [
  [/\.s\.PGSQL\.\d+$/, 'postgresql'],
  [/mysqld?[^/]*\.sock/, 'mysql'],
  [/redis[^/]*\.sock/, 'redis'],
  [/mongodb[^/]*\.sock/, 'mongodb'],
  [/memcached[^/]*\.sock/, 'memcached'],
  [/docker\.sock$/, 'docker'],
]

/**
 * The protocol that a server on this port, or with this path of a Unix socket, most likely speaks;
 * null if unknown.
 */
function guessProtocol(place: number | string): string | null {
  if (typeof place === 'number') return BY_PORT.get(place) ?? null
  return BY_PATH.find(([pattern]) => pattern.test(place))?.[1] ?? null
}
