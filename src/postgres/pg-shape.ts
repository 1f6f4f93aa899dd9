import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'

/**
 * What is used of `pg`, as structure: nothing here imports it, so whoever has no PostgreSQL installs nothing, and any version of
 * it (or a pool built on it) that has this shape will do.
 */

/** The pool as `guardPool` takes it. Deliberately loose: `pg.Pool` has overloads that no single signature matches. */
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

/** What a pool calls when it has a client, or has failed to get one. */
export type ConnectCallback = (
  error: Error | null | undefined,
  client: PgClient | undefined,
  release: (error?: unknown) => void,
) => void

export type QueryCallback = (error: Error | null | undefined, result?: unknown) => void

/** The same pool, as we call it. */
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
  /** Four bytes as a number in protocol 3.0; bytes in 3.2, which PostgreSQL 18 speaks. */
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

/** `pg.Query`, `pg-cursor`, `pg-query-stream`, `pg-copy-streams`: an object that runs itself on a connection. */
export interface Submittable {
  submit(connection: unknown): unknown
  handleError(error: unknown, connection: unknown): unknown
  callback?: QueryCallback
  /** `pg-cursor` says here whether it waits for the server or for its reader. */
  readonly state?: string
  /** The cursor inside a `pg-query-stream`. */
  readonly cursor?: { readonly state?: string; readonly text?: string; readonly _cb?: unknown }
  /** `pg-cursor`: who waits for the rows of a read. */
  readonly _cb?: unknown
  readonly text?: string
}

export function isSubmittable(value: unknown): value is Submittable {
  return typeof value === 'object' && value !== null && typeof (value as Submittable).submit === 'function'
}

/** Where a query is between its transactions, as `ReadyForQuery` says: idle, in a transaction, in one that has failed. */
export type TransactionStatus = 'I' | 'T' | 'E'
