import { safeListener } from '../diagnostics/event-log.ts'
import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { type Duration, type Milliseconds, ms, readDuration, UNBOUNDED } from '../resilience/duration.ts'
import type { PoolOptions } from './pg-types.ts'
import type { PoolEvent } from './pool-health.ts'

/** Where `statement_timeout` is set in the database. */
export type StatementTimeoutMode = 'auto' | 'session' | 'transaction' | 'none'

export interface GuardOptions {
  /** How long a query waits for a connection while all are in use. Default: `5s`. */
  readonly acquireTimeout?: Duration
  /**
   * How long opening a connection may take: DNS, TCP, TLS, authentication. Default: `10s`, or
   * `connectionTimeoutMillis` of the pool.
   */
  readonly connectTimeout?: Duration
  /**
   * How long a query may take, including its time in the queue of its connection. Default: `30s`,
   * or `query_timeout` of the pool.
   */
  readonly queryTimeout?: Duration
  /**
   * How long cancelling a query, or rolling back, may take before the connection is destroyed.
   * Default: `2s`.
   */
  readonly cancelTimeout?: Duration
  /**
   * How long a connection may be checked out before it is reported with its borrower. Default:
   * `60s`.
   */
  readonly leakThreshold?: Duration
  /** How long a connection may be checked out before it is destroyed. Default: `unbounded`. */
  readonly reclaimTimeout?: Duration
  /**
   * The age at which an idle connection is closed. Default: `10m`, or `maxLifetimeSeconds` of the
   * pool.
   */
  readonly maxLifetime?: Duration
  /**
   * Where `statement_timeout` is set in the database. Default: `auto`, which is `session` on a
   * direct connection; behind a connection pooler `transaction`, or `none` if the server has a
   * timeout of its own.
   */
  readonly statementTimeout?: StatementTimeoutMode
  /**
   * Called with each event. An error that it throws becomes a process warning. Default: writes to
   * the log.
   */
  readonly onEvent?: (event: PoolEvent) => void
}

const OPTIONS: OptionNames<GuardOptions> = {
  acquireTimeout: true,
  connectTimeout: true,
  queryTimeout: true,
  cancelTimeout: true,
  leakThreshold: true,
  reclaimTimeout: true,
  maxLifetime: true,
  statementTimeout: true,
  onEvent: true,
}

/** The options with defaults filled in. */
export interface GuardSettings {
  readonly name: string
  readonly max: number
  readonly acquireTimeout: Milliseconds
  readonly connectTimeout: Milliseconds
  readonly queryTimeout: Milliseconds
  readonly cancelTimeout: Milliseconds
  readonly leakThreshold: Milliseconds
  readonly reclaimTimeout: Milliseconds
  readonly maxLifetime: Milliseconds
  readonly statementTimeout: StatementTimeoutMode
  readonly onEvent: (event: PoolEvent) => void
}

const STATEMENT_TIMEOUT_MODES: readonly string[] = ['auto', 'session', 'transaction', 'none']
/** The default of `pg`. */
const DEFAULT_MAX = 10

/** @throws {InvalidOptionError} */
export function readOptions(
  name: string,
  options: GuardOptions,
  pool: PoolOptions,
  onEvent: (event: PoolEvent) => void,
): GuardSettings {
  if (typeof name !== 'string' || name === '') {
    throw new InvalidOptionError('guardPool', 'name', name, 'must be a string that is not empty')
  }
  const where = `guardPool "${name}"`
  checkOptions(where, options, OPTIONS)
  if (pool.pipeline === true) {
    const must = 'must be off, because a cancel request could end any query of a pipeline'
    throw new InvalidOptionError(where, 'pipeline', true, must)
  }
  const { statementTimeout = 'auto' } = options
  if (!STATEMENT_TIMEOUT_MODES.includes(statementTimeout)) {
    const must = `must be one of ${STATEMENT_TIMEOUT_MODES.join(', ')}`
    throw new InvalidOptionError(where, 'statementTimeout', statementTimeout, must)
  }
  const read = (
    key: (keyof GuardOptions & `${string}Timeout`) | 'leakThreshold' | 'maxLifetime',
    given: Duration | undefined,
    preset: Milliseconds,
  ): Milliseconds => (given === undefined ? preset : readPositive(where, key, given))
  return {
    name,
    max: pool.max ?? DEFAULT_MAX,
    acquireTimeout: read('acquireTimeout', options.acquireTimeout, ms(5_000)),
    connectTimeout: read('connectTimeout', options.connectTimeout, ms(pool.connectionTimeoutMillis || 10_000)),
    queryTimeout: read('queryTimeout', options.queryTimeout, ms(pool.query_timeout || 30_000)),
    cancelTimeout: read('cancelTimeout', options.cancelTimeout, ms(2_000)),
    leakThreshold: read('leakThreshold', options.leakThreshold, ms(60_000)),
    reclaimTimeout: read('reclaimTimeout', options.reclaimTimeout, UNBOUNDED),
    maxLifetime: read('maxLifetime', options.maxLifetime, ms((pool.maxLifetimeSeconds || 600) * 1_000)),
    // A pool with `statement_timeout` in its own options sets it itself.
    statementTimeout:
      typeof pool.statement_timeout === 'number' && pool.statement_timeout > 0 ? 'none' : statementTimeout,
    onEvent: safeListener(where, options.onEvent ?? onEvent),
  }
}

function readPositive(of: string, option: string, given: Duration): Milliseconds {
  const value = readDuration(of, option, given)
  if (value > 0) return value
  throw new InvalidOptionError(of, option, given, "must be greater than 0, or 'unbounded'")
}
