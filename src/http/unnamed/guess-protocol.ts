/** What usually listens on a port: the registered name (IANA) where there is one, else what is known to use it. */
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

/** Names that the sockets of well-known servers carry. */
const BY_PATH: readonly (readonly [RegExp, string])[] = [
  [/\.s\.PGSQL\.\d+$/, 'postgresql'],
  [/mysqld?[^/]*\.sock/, 'mysql'],
  [/redis[^/]*\.sock/, 'redis'],
  [/mongodb[^/]*\.sock/, 'mongodb'],
  [/memcached[^/]*\.sock/, 'memcached'],
  [/docker\.sock$/, 'docker'],
]

/** What a server with this port, or this path of a Unix socket, most likely speaks; null where nothing is known. */
export function guessProtocol(place: number | string): string | null {
  if (typeof place === 'number') return BY_PORT.get(place) ?? null
  return BY_PATH.find(([pattern]) => pattern.test(place))?.[1] ?? null
}
