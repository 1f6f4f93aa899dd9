import { after } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { PgClient, RawPool } from './pg-shape.ts'
import { ConnectTimeoutError } from './pool-errors.ts'

interface Connecting {
  connect(...args: unknown[]): unknown
}

/**
 * Puts a limit on every connection the pool opens: its `Client` is replaced by one that is the same in everything, and whose socket is destroyed
 * with a typed error when the server has not said that it is ready. The pool then fails that attempt as it does any other.
 */
export function limitConnecting(pool: RawPool, name: string, limit: Milliseconds): void {
  const { Client } = pool
  if (Client === undefined) return
  const Limited: typeof Client = new Proxy(Client, {
    construct(target, args, newTarget) {
      const client = Reflect.construct(target, args, newTarget === Limited ? target : newTarget) as PgClient
      limitClient(client, name, limit)
      return client
    },
  })
  pool.Client = Limited
}

function limitClient(client: PgClient, pool: string, limit: Milliseconds): void {
  const connecting = client as unknown as Connecting
  const { connect } = connecting
  connecting.connect = (...args) => {
    // The socket keeps the process alive while it lasts; this need not.
    const stop = after(
      limit,
      () => {
        const expiry = { pool, operation: null, timeout: limit, elapsed: limit, timedOutBy: 'own' } as const
        client.connection.stream.destroy(new ConnectTimeoutError(expiry, `${client.host}:${client.port}`))
      },
      { keepAlive: false },
    )
    client.once('connect', stop)
    client.once('end', stop)
    return connect.apply(client, args)
  }
}
