import { type DatabaseTimeout, DatabaseTimeoutError } from '../database/query-errors.ts'
import { after } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { PgClient, RawPool } from './pg-types.ts'

/** The database did not accept a new connection within `connectTimeout`. */
export class ConnectTimeoutError extends DatabaseTimeoutError {
  static {
    ConnectTimeoutError.prototype.name = 'ConnectTimeoutError'
  }

  constructor(facts: DatabaseTimeout, address: string) {
    super('connecting', facts, `; ${address}, or the network to it, does not answer`)
  }
}

interface Connecting {
  connect(...args: unknown[]): unknown
}

/**
 * Applies a timeout to each connection that the pool opens. It wraps the pool's `Client`: when the
 * server is not ready in time, the socket is destroyed with a `ConnectTimeoutError`, and the pool
 * fails the attempt as any other.
 */
export function applyConnectTimeout(pool: RawPool, name: string, timeout: Milliseconds): void {
  const { Client } = pool
  if (Client === undefined) return
  const Wrapped: typeof Client = new Proxy(Client, {
    construct(target, args, newTarget) {
      const client = Reflect.construct(target, args, newTarget === Wrapped ? target : newTarget) as PgClient
      applyToClient(client, name, timeout)
      return client
    },
  })
  pool.Client = Wrapped
}

function applyToClient(client: PgClient, pool: string, timeout: Milliseconds): void {
  const connecting = client as unknown as Connecting
  const { connect } = connecting
  connecting.connect = (...args) => {
    // The socket keeps the process alive; the timer does not need to.
    const stop = after(
      timeout,
      () => {
        const facts = { pool, operation: null, timeout, elapsed: timeout, timedOutBy: 'own' } as const
        client.connection.stream.destroy(new ConnectTimeoutError(facts, `${client.host}:${client.port}`))
      },
      { keepAlive: false },
    )
    client.once('connect', stop)
    client.once('end', stop)
    return connect.apply(client, args)
  }
}
