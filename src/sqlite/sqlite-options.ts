import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { logEvent, safeListener } from '../diagnostics/event-log.ts'
import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { type Duration, type Milliseconds, ms, readCount, readDuration } from '../resilience/duration.ts'
import type { SqliteEvent } from './sqlite-health.ts'
import type { Synchronous } from './thread-protocol.ts'

export interface SqliteOptions {
  /** Threads for reads; with 0 the writer reads too. Default 2; none for `:memory:`. */
  readonly readers?: number
  /** Timeout of one call, including the wait for a thread and for locks. Default `30s`. */
  readonly queryTimeout?: Duration
  /** Timeout of one transaction, from the call to its end. Default `30s`. */
  readonly transactionTimeout?: Duration
  /**
   * How long a cancelled query or a rollback may run; then its thread is abandoned. Default `2s`.
   */
  readonly cancelTimeout?: Duration
  /** Starting a thread and opening the file, not counting the wait for locks. Default `10s`. */
  readonly openTimeout?: Duration
  /** How long `close` waits for running and queued calls. Default `5s`. */
  readonly closeTimeout?: Duration
  /** How many abandoned threads may be replaced at a time. Default 4. */
  readonly maxAbandonedThreads?: number
  /**
   * `PRAGMA synchronous`. Default `normal`: a commit survives the end of the process; the last ones
   * may be lost in a power failure.
   */
  readonly synchronous?: Synchronous
  /** Return integers as `bigint`. Default false: as numbers, with an error beyond 2^53. */
  readonly bigints?: boolean
  /** How many prepared statements each thread keeps. Default 100. */
  readonly statementCacheSize?: number
  /**
   * Called with each event. What it throws becomes a process warning. Default: writes to the log.
   */
  readonly onEvent?: (event: SqliteEvent) => void
}

const OPTIONS: OptionNames<SqliteOptions> = {
  readers: true,
  queryTimeout: true,
  transactionTimeout: true,
  cancelTimeout: true,
  openTimeout: true,
  closeTimeout: true,
  maxAbandonedThreads: true,
  synchronous: true,
  bigints: true,
  statementCacheSize: true,
  onEvent: true,
}

/** The options with defaults filled in. */
export interface SqliteSettings {
  readonly name: string
  readonly path: string
  readonly inMemory: boolean
  readonly readers: number
  readonly queryTimeout: Milliseconds
  readonly transactionTimeout: Milliseconds
  readonly cancelTimeout: Milliseconds
  readonly openTimeout: Milliseconds
  readonly closeTimeout: Milliseconds
  readonly maxAbandonedThreads: number
  readonly synchronous: Synchronous
  readonly bigints: boolean
  readonly statementCacheSize: number
  readonly onEvent: (event: SqliteEvent) => void
}

const SYNCHRONOUS: readonly string[] = ['off', 'normal', 'full', 'extra']
const IN_MEMORY = ':memory:'

/** @throws InvalidOptionError for an invalid name, file or option */
export function readSqliteOptions(name: string, file: string | URL, options: SqliteOptions): SqliteSettings {
  if (typeof name !== 'string' || name === '') {
    throw new InvalidOptionError('openSqlite', 'name', name, 'must be a non-empty string')
  }
  const of = `openSqlite "${name}"`
  checkOptions(of, options, OPTIONS)
  const path = readPath(of, file)
  const inMemory = path === IN_MEMORY
  const { synchronous = 'normal', bigints = false } = options
  const readers = readCount(of, 'readers', options.readers ?? (inMemory ? 0 : 2), 0)
  if (inMemory && readers > 0) {
    throw new InvalidOptionError(of, 'readers', readers, 'must be 0 or omitted for a database in memory')
  }
  if (!SYNCHRONOUS.includes(synchronous)) {
    throw new InvalidOptionError(of, 'synchronous', synchronous, `must be one of ${SYNCHRONOUS.join(', ')}`)
  }
  const timeout = (key: keyof SqliteOptions & `${string}Timeout`, preset: number): Milliseconds =>
    readPositive(of, key, options[key] ?? ms(preset))
  return {
    name,
    path,
    inMemory,
    readers,
    queryTimeout: timeout('queryTimeout', 30_000),
    transactionTimeout: timeout('transactionTimeout', 30_000),
    cancelTimeout: timeout('cancelTimeout', 2_000),
    openTimeout: timeout('openTimeout', 10_000),
    closeTimeout: timeout('closeTimeout', 5_000),
    maxAbandonedThreads: readCount(of, 'maxAbandonedThreads', options.maxAbandonedThreads ?? 4, 0),
    synchronous,
    bigints,
    statementCacheSize: readCount(of, 'statementCacheSize', options.statementCacheSize ?? 100, 0),
    onEvent: safeListener<SqliteEvent>(of, options.onEvent ?? logEvent),
  }
}

export function readPositive(of: string, option: string, timeout: Duration): Milliseconds {
  const value = readDuration(of, option, timeout)
  if (value > 0) return value
  throw new InvalidOptionError(of, option, timeout, "must be greater than 0; use 'unbounded' for no timeout")
}

/** An absolute path, so that it does not depend on the working directory of later calls. */
function readPath(of: string, file: string | URL): string {
  const isUrl = file instanceof URL || (typeof file === 'string' && file.startsWith('file:'))
  if (isUrl) return readUrl(of, String(file))
  if (typeof file !== 'string' || file === '') {
    throw new InvalidOptionError(of, 'file', file, "must be the path of a file, or ':memory:'")
  }
  if (file.includes('\0')) throw new InvalidOptionError(of, 'file', file, 'must not contain a zero byte')
  return file === IN_MEMORY ? file : resolve(file)
}

function readUrl(of: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'file:' || url.search !== '' || url.hash !== '') {
    throw new InvalidOptionError(of, 'file', text, "must be a file: URL without SQLite's parameters (mode, cache, …)")
  }
  return fileURLToPath(url)
}
