import type { EventEmitter } from 'node:events'

/** What is used of `pg`, as structure; see `src/postgres/pg-shape.ts`, which is another room's. */
export interface PgPool {
  readonly options: object
  query(text: string, values?: unknown[]): Promise<PgResult>
}

/** A pool that is ours alone. */
export interface OwnPool extends PgPool {
  connect(callback?: Connected): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'connect', listener: (client: OwnClient) => void): unknown
  end(): Promise<void>
}

export type Connected = (error: unknown, client: OwnClient | undefined, release: (error?: unknown) => void) => void

export interface OwnClient extends Pick<EventEmitter, 'on'> {
  /** That of pg-native shows none. */
  readonly connection?: { readonly stream: { destroy(): unknown } }
}

export interface PgResult {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

/** What is used of `graphile-worker`, from 0.18 on: a job is locked by the pool that runs it, and the ends of jobs are written as `JobRunner` expects. */
export interface GraphileModule {
  run(options: RunOptions): Promise<GraphileRunner>
  runMigrations(options: SharedOptions): Promise<void>
  readonly Logger: new (factory: (scope: object) => LogFunction) => object
}

export type LogFunction = (level: string, message: string, meta?: { readonly failure?: unknown }) => void

export interface SharedOptions {
  readonly pgPool: OwnPool
  readonly schema: string
  readonly logger: object
}

export interface RunOptions extends SharedOptions {
  readonly taskList: Readonly<Record<string, (payload: unknown, helpers: JobHelpers) => Promise<void>>>
  readonly parsedCronItems: never[]
  readonly concurrency: number
  readonly pollInterval: number
  readonly noHandleSignals: true
  readonly gracefulShutdownAbortTimeout: number
  readonly events: EventEmitter
  /** Asked before each look for a job; it waits for what it is promised. */
  readonly forbiddenFlags: () => null | Promise<null>
  readonly preset: { readonly worker: { readonly completeJobBatchDelay: number; readonly failJobBatchDelay: number } }
}

export interface JobHelpers {
  readonly job: {
    readonly id: string
    readonly attempts: number
    /** What the last attempt failed with of which an end was written; null before. */
    readonly last_error: string | null
  }
}

export interface GraphileRunner {
  readonly promise: Promise<void>
  stop(reason?: string): Promise<void>
}
