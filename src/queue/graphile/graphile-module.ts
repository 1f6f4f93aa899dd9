import type { EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { UsageError } from '../../errors/punctual-error.ts'

/** The part of `pg` that is used here, as structural types. */
export interface PgPool {
  readonly options: object
  query(text: string, values?: unknown[]): Promise<PgResult>
}

/** A pool that only this module uses. */
export interface OwnPool extends PgPool {
  connect(callback?: Connected): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'connect', listener: (client: OwnClient) => void): unknown
  end(): Promise<void>
}

export type Connected = (error: unknown, client: OwnClient | undefined, release: (error?: unknown) => void) => void

export interface OwnClient extends Pick<EventEmitter, 'on'> {
  /** Missing with pg-native. */
  readonly connection?: { readonly stream: { destroy(): unknown } }
}

export interface PgResult {
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

/**
 * The part of `graphile-worker` that is used here, from 0.18 on: a job is locked by the pool that
 * runs it, and the ends of jobs are written as `JobRunner` expects.
 */
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
  /** Called before each query for a job. A promise is awaited. */
  readonly forbiddenFlags: () => null | Promise<null>
  readonly preset: { readonly worker: { readonly completeJobBatchDelay: number; readonly failJobBatchDelay: number } }
}

export interface JobHelpers {
  readonly job: {
    readonly id: string
    readonly attempts: number
    /** The error of the last attempt whose end was written; null before that. */
    readonly last_error: string | null
  }
}

export interface GraphileRunner {
  readonly promise: Promise<void>
  stop(reason?: string): Promise<void>
}

/** Of version 0. The API that is used here has not changed since. */
const MIN_MINOR = 18

/** Where the app's packages may be: beside its entry, the working directory, this package. */
function packageDirectories(): readonly string[] {
  const entry = process.argv[1]
  return [...(entry === undefined ? [] : [dirname(entry)]), process.cwd(), import.meta.dirname]
}

/**
 * Imports the `graphile-worker` of the app.
 *
 * @throws UsageError when it is not installed, or too old
 */
export async function loadGraphileWorker(from: readonly string[] = packageDirectories()): Promise<GraphileModule> {
  const path = find(from)
  if (path === undefined) {
    throw new UsageError(
      `graphileWorker(…) needs graphile-worker, which is not installed in ${from[0]}; run npm install graphile-worker`,
      { details: { reason: 'not-installed', directory: from[0] } },
    )
  }
  const version = versionOf(path)
  if (isTooOld(version)) {
    throw new UsageError(
      `graphileWorker(…) needs graphile-worker 0.${MIN_MINOR} or later, found ${version ?? 'an unknown version'} at ${path}; run npm install graphile-worker@latest`,
      { details: { reason: 'too-old', version: version ?? null, path } },
    )
  }
  return (await import(pathToFileURL(path).href)) as GraphileModule
}

interface Manifest {
  readonly name?: unknown
  readonly version?: string
}

/** @param path of its main module */
function versionOf(path: string): string | undefined {
  for (let directory = dirname(path); directory !== dirname(directory); directory = dirname(directory)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest
      if (name === 'graphile-worker') return version
    } catch {
      // The manifest is in a parent directory.
    }
  }
  return undefined
}

function isTooOld(version: string | undefined): boolean {
  const [major = Number.NaN, minor = Number.NaN] = (version ?? '').split('.').map(Number)
  return !(major > 0 || minor >= MIN_MINOR)
}

function find(directories: readonly string[]): string | undefined {
  for (const directory of directories) {
    try {
      return createRequire(join(directory, 'package.json')).resolve('graphile-worker')
    } catch {
      // The next directory may have it.
    }
  }
  return undefined
}
