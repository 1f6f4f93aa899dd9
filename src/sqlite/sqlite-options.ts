import { basename, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { safeListener } from '../diagnostics/safe-listener.ts'
import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { type Duration, type Milliseconds, ms, readCount, readDuration } from '../resilience/duration.ts'
import { type SqliteEvent, tellConsole } from './sqlite-events.ts'
import type { Synchronous } from './thread-protocol.ts'

export interface SqliteOptions {
  /** What the database is called in errors, in the log and in health. Default: the name of its file. */
  readonly name?: string
  /** How many threads answer reads. Default 2; none for `:memory:`. With 0 the writer answers them too, one after the other. */
  readonly readers?: number
  /** One call, waiting for its turn and for locks included. Default `30s`. */
  readonly queryTimeout?: Duration
  /** One transaction, from the call to its end. Default `30s`. */
  readonly transactionTimeout?: Duration
  /** How long a query that nobody waits for any more, or a rollback, may go on before its thread is given up. Default `2s`. */
  readonly cancelTimeout?: Duration
  /** Starting a thread and opening the file, not counting time in which it is locked. Default `10s`. */
  readonly openTimeout?: Duration
  /** How long `close` lets what is under way go on. Default `5s`. */
  readonly closeTimeout?: Duration
  /** How many threads that could not be ended may be replaced at a time. Default 4. */
  readonly abandoned?: number
  /** `PRAGMA synchronous`. Default `normal`: a commit survives the death of the process, and the last ones may be lost with the machine's power. */
  readonly synchronous?: Synchronous
  /** Whole numbers come as `bigint`. Default false: as numbers, and one beyond 2^53 is an error. */
  readonly bigints?: boolean
  /** How many prepared statements each thread keeps. Default 100. */
  readonly statements?: number
  /** Told of everything worth a line. What it throws is a warning of the process. Default: the line goes to the console. */
  readonly onEvent?: (event: SqliteEvent) => void
}

/** The options with every default filled in. */
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
  readonly abandoned: number
  readonly synchronous: Synchronous
  readonly bigints: boolean
  readonly statements: number
  readonly onEvent: (event: SqliteEvent) => void
}

const SYNCHRONOUS: readonly string[] = ['off', 'normal', 'full', 'extra']
const IN_MEMORY = ':memory:'

/** @throws InvalidOptionError for an option or a file that is invalid */
export function readSqliteOptions(file: string | URL, options: SqliteOptions): SqliteSettings {
  const path = readPath(file)
  const inMemory = path === IN_MEMORY
  const { name = inMemory ? 'memory' : basename(path), synchronous = 'normal', bigints = false } = options
  if (typeof name !== 'string' || name === '') {
    throw new InvalidOptionError('openSqlite', 'name', name, 'must be a non-empty string')
  }
  const where = `openSqlite "${name}"`
  const readers = readCount(where, 'readers', options.readers ?? (inMemory ? 0 : 2), 0)
  if (inMemory && readers > 0) {
    const must = 'must be 0 or left out: a database in memory belongs to one connection'
    throw new InvalidOptionError(where, 'readers', readers, must)
  }
  if (!SYNCHRONOUS.includes(synchronous)) {
    throw new InvalidOptionError(where, 'synchronous', synchronous, `must be one of ${SYNCHRONOUS.join(', ')}`)
  }
  const limit = (key: keyof SqliteOptions & `${string}Timeout`, preset: number): Milliseconds =>
    readPositive(where, key, options[key] ?? ms(preset))
  return {
    name,
    path,
    inMemory,
    readers,
    queryTimeout: limit('queryTimeout', 30_000),
    transactionTimeout: limit('transactionTimeout', 30_000),
    cancelTimeout: limit('cancelTimeout', 2_000),
    openTimeout: limit('openTimeout', 10_000),
    closeTimeout: limit('closeTimeout', 5_000),
    abandoned: readCount(where, 'abandoned', options.abandoned ?? 4, 0),
    synchronous,
    bigints,
    statements: readCount(where, 'statements', options.statements ?? 100, 0),
    onEvent: safeListener(where, options.onEvent ?? tellConsole),
  }
}

export function readPositive(of: string, option: string, limit: Duration): Milliseconds {
  const value = readDuration(of, option, limit)
  if (value > 0) return value
  throw new InvalidOptionError(of, option, limit, "must be greater than 0; use 'unbounded' for no limit")
}

/** A path that stays the same when the working directory changes. */
function readPath(file: string | URL): string {
  const isUrl = file instanceof URL || (typeof file === 'string' && file.startsWith('file:'))
  if (isUrl) return readUrl(String(file))
  if (typeof file !== 'string' || file === '') {
    throw new InvalidOptionError('openSqlite', 'file', file, "must be the path of a file, or ':memory:'")
  }
  if (file.includes('\0')) throw new InvalidOptionError('openSqlite', 'file', file, 'must not contain a zero byte')
  return file === IN_MEMORY ? file : resolve(file)
}

function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'file:' || url.search !== '' || url.hash !== '') {
    const must = "must be a file: URL without SQLite's parameters (mode, cache, …)"
    throw new InvalidOptionError('openSqlite', 'file', text, must)
  }
  return fileURLToPath(url)
}
