import { WaitTimeoutError } from '../../resilience/abort-reason.ts'
import type { Milliseconds } from '../../resilience/duration.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import {
  type Connected,
  type GraphileModule,
  loadGraphileWorker,
  type OwnClient,
  type OwnPool,
  type PgPool,
} from './graphile-module.ts'
import { JobStore } from './job-store.ts'

/** For creating the tables, including those of graphile-worker. */
const PREPARE_TIMEOUT = '60s'
const CONNECT_TIMEOUT = 10_000

/** What jobs run with: graphile-worker is loaded, its tables exist, connections are open. */
export interface PreparedEnvironment {
  readonly module: GraphileModule
  readonly connections: JobConnections
}

export interface EnvironmentOptions {
  /** The schema of graphile-worker. */
  readonly schema: string
  readonly maxConnections: number
  /** Whether the process may exit while connections are open and idle. */
  readonly allowExitOnIdle: boolean
}

/** Loads graphile-worker, creates tables and opens connections, each when first needed. */
export class JobEnvironment {
  readonly store: JobStore
  readonly #pool: PgPool
  readonly #options: EnvironmentOptions
  #module: Promise<GraphileModule>
  #connections: JobConnections | null = null
  #prepared: Promise<PreparedEnvironment> | null = null

  /** @param pool of the app */
  constructor(pool: PgPool, options: EnvironmentOptions) {
    this.#pool = pool
    this.#options = options
    this.store = new JobStore(options.schema)
    // Loading takes the event loop for about 80 ms, so it is done while the app boots. A failure is
    // thrown where the module is needed.
    this.#module = loadGraphileWorker()
    this.#module.catch(() => {})
  }

  /** Loads and creates what is needed, once. After a failure the next call tries again. */
  prepare(): Promise<PreparedEnvironment> {
    this.#prepared ??= withTimeout('preparing graphile-worker', PREPARE_TIMEOUT, () => this.#prepare(), {
      parent: null,
    }).catch((error: unknown) => {
      this.#prepared = null
      // Otherwise the next try would wait for the same answer.
      if (error instanceof WaitTimeoutError) this.#connections?.breakAll()
      throw error
    })
    return this.#prepared
  }

  /** Adds jobs over the app's own pool; see `JobStore.forward`. */
  async forward(task: string, ids: readonly string[], items: readonly string[]): Promise<void> {
    await this.prepare()
    await this.store.forward(this.#pool, task, ids, items)
  }

  /** Lets an item be forwarded again; see `JobStore.forget`. */
  forget(id: string): Promise<void> {
    return this.store.forget(this.#open().pool, id)
  }

  /** Closes the connections. The next use opens others. */
  async close(timeout: Milliseconds): Promise<void> {
    const connections = this.#connections
    this.#connections = null
    this.#prepared = null
    await connections?.end(timeout)
  }

  async #prepare(): Promise<PreparedEnvironment> {
    const module = await this.#module.catch(() => {
      this.#module = loadGraphileWorker()
      return this.#module
    })
    const connections = this.#open()
    const { pool } = connections
    const logger = new module.Logger(() => () => {})
    await module.runMigrations({ pgPool: pool, schema: this.#options.schema, logger })
    await this.store.prepare(pool)
    return { module, connections }
  }

  #open(): JobConnections {
    const { maxConnections, allowExitOnIdle } = this.#options
    this.#connections ??= new JobConnections(this.#pool, maxConnections, allowExitOnIdle)
    return this.#connections
  }
}

/** The connections over which jobs run: a pool of their own, with the options of the app's. */
export class JobConnections {
  readonly pool: OwnPool
  readonly #clients = new Set<OwnClient>()
  #lost = 0

  /**
   * @param pool of the app
   * @param max maximum number of connections
   * @param allowExitOnIdle whether the process may exit while connections are open and idle
   */
  constructor(pool: PgPool, max: number, allowExitOnIdle: boolean) {
    this.pool = openLike(pool, max, allowExitOnIdle)
    // Without a listener a lost connection would end the process. The pool opens another if needed.
    this.pool.on('error', () => {})
    this.pool.on('connect', (client) => {
      this.#clients.add(client)
      client.on('error', () => void this.#lost++)
      client.on('end', () => void this.#clients.delete(client))
    })
  }

  /** How many connections were lost. Each may have carried an answer that did not arrive. */
  get lost(): number {
    return this.#lost
  }

  /**
   * Destroys all connections, like a reset by the server: pending queries fail, and later ones get
   * new connections. For a connection that stays silent, as after a failover without a reset: the
   * kernel would wait for a quarter of an hour.
   */
  breakAll(): void {
    for (const client of this.#clients) client.connection?.stream.destroy()
  }

  /** Closes the pool; connections still in use after the timeout are destroyed. Never rejects. */
  async end(timeout: Milliseconds): Promise<void> {
    await withTimeout('closing the connections of jobs', timeout, () => this.pool.end(), { parent: null }).catch(() =>
      this.breakAll(),
    )
  }
}

function openLike(pool: PgPool, max: number, allowExitOnIdle: boolean): OwnPool {
  const Pool = pool.constructor as new (options: object) => OwnPool
  const { password } = pool.options as { readonly password?: unknown }
  const own = new Pool({
    ...pool.options,
    // A spread does not copy it: in pg it is not enumerable.
    ...(password === undefined ? {} : { password }),
    application_name: 'punctual jobs',
    connectionTimeoutMillis: CONNECT_TIMEOUT,
    // It would report a late answer and leave the connection as it is.
    query_timeout: 0,
    max,
    min: 0,
    allowExitOnIdle,
  })
  const connect = own.connect.bind(own)
  own.connect = (callback) => connect(callback && releasingOnce(callback))
  return own
}

/**
 * graphile-worker 0.18 releases its LISTEN connection twice when the connection breaks before the
 * answer to LISTEN and after the stop. The second release throws an uncaught error, which would end
 * the process.
 */
function releasingOnce(callback: Connected): Connected {
  return (error, client, release) => {
    let isReleased = false
    callback(error, client, (why) => {
      if (!isReleased) release(why)
      isReleased = true
    })
  }
}
