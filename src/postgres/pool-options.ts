import { safeListener } from '../diagnostics/safe-listener.ts'
import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { type Duration, type Milliseconds, ms, readDuration, UNBOUNDED } from '../resilience/duration.ts'
import type { PoolOptions } from './pg-shape.ts'
import type { PoolEvent } from './pool-events.ts'

/** How the database itself is told to end a statement that we could not cancel. */
export type ServerLimit = 'auto' | 'session' | 'transaction' | 'none'

export interface GuardOptions {
  /** Waiting for a connection while all are taken. Default `5s`. */
  readonly acquireTimeout?: Duration
  /** Opening a connection: look-up, TCP, TLS, password. Default `10s`, or the pool's own `connectionTimeoutMillis`. */
  readonly connectTimeout?: Duration
  /** One query, waiting behind others on its connection included. Default `30s`, or the pool's own `query_timeout`. */
  readonly queryTimeout?: Duration
  /** Cancelling a query, and rolling back before a connection goes back to the pool; when it runs out the connection is destroyed. Default `2s`. */
  readonly cancelTimeout?: Duration
  /** A connection that is borrowed for longer is reported with its borrower. Default `60s`. */
  readonly leakThreshold?: Duration
  /** A connection that is borrowed for longer is taken back and destroyed. Default `unbounded`: never. */
  readonly reclaimTimeout?: Duration
  /** Age at which a connection is closed as soon as it is idle, and replaced by a new one when one is needed. Default `10m`, or the pool's own `maxLifetimeSeconds`. */
  readonly maxLifetime?: Duration
  /** See the guide. Default `auto`: `session` on a direct connection, behind a bouncer `transaction` unless the server has a limit of its own. */
  readonly serverLimit?: ServerLimit
  /** Told of everything worth a line. What it throws is a warning of the process. Default: the line goes to the console. */
  readonly onEvent?: (event: PoolEvent) => void
}

/** The options with every default filled in. */
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
  readonly serverLimit: ServerLimit
  readonly onEvent: (event: PoolEvent) => void
}

const SERVER_LIMITS: readonly string[] = ['auto', 'session', 'transaction', 'none']
/** What `pg` itself takes for a pool that names none. */
const DEFAULT_MAX = 10

/**
 * @throws {InvalidOptionError} that names the pool and the option.
 */
export function readOptions(
  name: string,
  options: GuardOptions,
  pool: PoolOptions,
  onEvent: (event: PoolEvent) => void,
): GuardSettings {
  const { serverLimit = 'auto' } = options
  if (typeof name !== 'string' || name === '') {
    throw new InvalidOptionError('guardPool', 'name', name, 'must be a string that is not empty')
  }
  const where = `guardPool "${name}"`
  if (pool.pipeline === true) {
    const must = 'must be off, since a cancel ends whichever query of a pipeline is running'
    throw new InvalidOptionError(where, 'pipeline', true, must)
  }
  if (!SERVER_LIMITS.includes(serverLimit)) {
    throw new InvalidOptionError(where, 'serverLimit', serverLimit, `must be one of ${SERVER_LIMITS.join(', ')}`)
  }
  const limit = (
    key: (keyof GuardOptions & `${string}Timeout`) | 'leakThreshold' | 'maxLifetime',
    given: Duration | undefined,
    preset: Milliseconds,
  ): Milliseconds => (given === undefined ? preset : readPositive(where, key, given))
  return {
    name,
    max: pool.max ?? DEFAULT_MAX,
    acquireTimeout: limit('acquireTimeout', options.acquireTimeout, ms(5_000)),
    connectTimeout: limit('connectTimeout', options.connectTimeout, ms(pool.connectionTimeoutMillis || 10_000)),
    queryTimeout: limit('queryTimeout', options.queryTimeout, ms(pool.query_timeout || 30_000)),
    cancelTimeout: limit('cancelTimeout', options.cancelTimeout, ms(2_000)),
    leakThreshold: limit('leakThreshold', options.leakThreshold, ms(60_000)),
    reclaimTimeout: limit('reclaimTimeout', options.reclaimTimeout, UNBOUNDED),
    maxLifetime: limit('maxLifetime', options.maxLifetime, ms((pool.maxLifetimeSeconds || 600) * 1_000)),
    // Who has set `statement_timeout` in the pool's own options has chosen how.
    serverLimit: typeof pool.statement_timeout === 'number' && pool.statement_timeout > 0 ? 'none' : serverLimit,
    onEvent: safeListener(where, options.onEvent ?? onEvent),
  }
}

function readPositive(of: string, option: string, limit: Duration): Milliseconds {
  const value = readDuration(of, option, limit)
  if (value > 0) return value
  throw new InvalidOptionError(of, option, limit, "must be greater than 0; without a limit is 'unbounded'")
}
