import type { Milliseconds } from '../../resilience/duration.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import type { Connected, OwnClient, OwnPool, PgPool } from './graphile-shapes.ts'

const CONNECT_LIMIT = 10_000

/** The connections over which jobs are carried out: a pool of our own that leads to the same place as the app's. */
export class JobConnections {
  readonly pool: OwnPool
  readonly #clients = new Set<OwnClient>()
  #lost = 0

  /**
   * @param pool that of the app
   * @param max connections at most
   * @param allowExitOnIdle whether the process may end while connections are open that nobody uses
   */
  constructor(pool: PgPool, max: number, allowExitOnIdle: boolean) {
    this.pool = openLike(pool, max, allowExitOnIdle)
    // Unheard, the end of a connection would end the process. The pool opens another at need.
    this.pool.on('error', () => {})
    this.pool.on('connect', (client) => {
      this.#clients.add(client)
      client.on('error', () => void this.#lost++)
      client.on('end', () => void this.#clients.delete(client))
    })
  }

  /** How many have broken so far: each may have carried an answer that was not heard. */
  get lost(): number {
    return this.#lost
  }

  /**
   * Breaks them all, as a reset from the other side would: what waits for an answer fails, and whoever needs a connection gets a new one. For when one has fallen silent,
   * as after a failover of which nobody told us: the kernel would wait for a quarter of an hour.
   */
  breakAll(): void {
    for (const client of this.#clients) client.connection?.stream.destroy()
  }

  /** Never rejects. Those still in use when the limit has passed are broken. */
  async end(limit: Milliseconds): Promise<void> {
    await withTimeout('closing the connections of jobs', limit, () => this.pool.end(), { parent: null }).catch(() =>
      this.breakAll(),
    )
  }
}

function openLike(pool: PgPool, max: number, allowExitOnIdle: boolean): OwnPool {
  const Pool = pool.constructor as new (options: object) => OwnPool
  const { password } = pool.options as { readonly password?: unknown }
  const own = new Pool({
    ...pool.options,
    // pg keeps it where it is not copied along.
    ...(password === undefined ? {} : { password }),
    application_name: 'punctual jobs',
    connectionTimeoutMillis: CONNECT_LIMIT,
    // It would say that an answer is late, and leave the connection as it is.
    query_timeout: 0,
    max,
    min: 0,
    allowExitOnIdle,
  })
  const connect = own.connect.bind(own)
  own.connect = (callback) => connect(callback && givingBackOnce(callback))
  return own
}

/**
 * graphile-worker 0.18 gives the connection it listens with back twice when that breaks before the answer to LISTEN and after the order to stop. The second time throws
 * where nobody catches it, and would end the process.
 */
function givingBackOnce(callback: Connected): Connected {
  return (error, client, release) => {
    let isOut = true
    callback(error, client, (why) => {
      if (isOut) release(why)
      isOut = false
    })
  }
}
