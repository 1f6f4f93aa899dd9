import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'

/**
 * The structural types of `pg` that are used here. Nothing imports `pg`, so an app without
 * PostgreSQL does not install it, and any version of `pg`, or any pool built on it, fits.
 */

/**
 * A pool as `guardPool` accepts it. It is loose, because no signature matches the overloads of
 * `pg.Pool`.
 */
export interface PgPool {
  readonly totalCount: number
  readonly idleCount: number
  readonly waitingCount: number
  readonly options: object
  connect(...args: never): unknown
  query(...args: never): unknown
  end(...args: never): unknown
  on(event: never, listener: never): unknown
}

/** Called by a pool with a client or an error. */
export type ConnectCallback = (
  error: Error | null | undefined,
  client: PgClient | undefined,
  release: (error?: unknown) => void,
) => void

export type QueryCallback = (error: Error | null | undefined, result?: unknown) => void

/** The same pool as it is called here. */
export interface RawPool {
  readonly totalCount: number
  readonly idleCount: number
  readonly waitingCount: number
  readonly ending?: boolean
  readonly options: PoolOptions
  Client?: new (options: object) => PgClient
  connect(callback: ConnectCallback): void
  query(...args: unknown[]): unknown
  end(...args: unknown[]): unknown
  on(event: string, listener: (...args: readonly never[]) => void): unknown
}

export interface PoolOptions {
  readonly max?: number
  readonly pipeline?: boolean
  readonly statement_timeout?: number | false
  connectionTimeoutMillis?: number
  maxLifetimeSeconds?: number
  query_timeout?: number
  readonly stream?: unknown
}

export interface PgClient {
  readonly processID: number | null
  /** A number of four bytes in protocol 3.0; bytes in 3.2, which PostgreSQL 18 supports. */
  readonly secretKey: number | Uint8Array | null
  readonly host: string
  readonly port: number
  readonly ssl: boolean | ConnectionOptions
  readonly sslNegotiation?: string
  readonly connection: PgConnection
  readonly readyForQuery?: boolean
  query(...args: unknown[]): unknown
  release(error?: unknown): void
  on(event: string, listener: (...args: readonly never[]) => void): unknown
  once(event: string, listener: (...args: readonly never[]) => void): unknown
}

export interface PgConnection {
  readonly stream: Duplex & { readonly remoteAddress?: string; readonly remotePort?: number }
  on(event: string, listener: (message: never) => void): unknown
  prependListener(event: string, listener: (message: never) => void): unknown
}

/**
 * An object that runs itself on a connection: `pg.Query`, `pg-cursor`, `pg-query-stream`,
 * `pg-copy-streams`.
 */
export interface Submittable {
  submit(connection: unknown): unknown
  handleError(error: unknown, connection: unknown): unknown
  callback?: QueryCallback
  /** The state of a `pg-cursor`: whether it waits for the server or for its reader. */
  readonly state?: string
  /** The cursor inside a `pg-query-stream`. */
  readonly cursor?: { readonly state?: string; readonly text?: string; readonly _cb?: unknown }
  /** The callback of a read of `pg-cursor` that is under way. */
  readonly _cb?: unknown
  readonly text?: string
}

export function isSubmittable(value: unknown): value is Submittable {
  return typeof value === 'object' && value !== null && typeof (value as Submittable).submit === 'function'
}

/** The transaction status in `ReadyForQuery`: idle, in a transaction, in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E'
