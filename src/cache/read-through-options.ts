import type { OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError, UsageError } from '../errors/punctual-error.ts'
import { type Duration, type Milliseconds, readDuration } from '../resilience/duration.ts'
import type { TimerWheel } from '../resilience/timer-wheel.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import type { ParentOption } from '../resilience/wait-scope.ts'
import { type RuntimeValue, runtimeTimeout } from '../runtime/runtime-value.ts'
import type { CacheCodec } from './codec.ts'
import type { Lifetimes } from './memory-tier.ts'
import type { RedisClient } from './redis/redis-client.ts'

export type CacheKey = string | number | bigint

/** What a load returns; `null` and `undefined` say that the source has no value. */
export type Loaded<Value> = Value | null | undefined

/** Values by key, or in the order of the keys. An `Error` in the array rejects its key only. */
export type LoadedMany<Key, Value> = ReadonlyMap<Key, Loaded<Value>> | readonly (Loaded<Value> | Error)[]

export type LoadMany<Key, Value> = (
  keys: readonly Key[],
  wait: Pick<WaitContext, 'signal'>,
) => LoadedMany<Key, Value> | PromiseLike<LoadedMany<Key, Value>>

export type CacheEventType =
  /** Redis is not used, because its connection is lost or its breaker is open. */
  | 'redis-down'
  /** Redis is used again. */
  | 'redis-up'
  /** Invalidations of other machines are not received. */
  | 'unsubscribed'
  /**
   * More invalidations wait for Redis than are kept, so the whole cache will be invalidated there.
   */
  | 'queue-overflow'
  /** A value could not be encoded for Redis, or decoded. */
  | 'undecodable'

/** Something that happened to the second tier and is worth a line in the log. */
export interface CacheEvent {
  readonly type: CacheEventType
  readonly severity: 'info' | 'warn' | 'error'
  /** A sentence for the log. */
  readonly message: string
}

export interface CacheRedisOptions {
  /** A `Redis` of `ioredis`, or a connected client of `redis`. */
  readonly client: RedisClient
  /** Subscribed connection, the same for all caches of a client. Default: a duplicate. */
  readonly subscriber?: RedisClient
  /** Pub/sub channel; the same for all caches of a client. Default: `punctual:cache`. */
  readonly channel?: string
  /**
   * How many invalidations are kept while Redis is down. Beyond that the whole cache is invalidated
   * in Redis when it is up again. Default: 10,000.
   */
  readonly queue?: number
}

interface CommonOptions<Key, Value> {
  /** How long a value is fresh, ±10 %; 0 disables the cache. Default: 5 min. Runtime. */
  readonly ttl?: Duration
  /** How long after its `ttl` a value is used while reloading. Default: `ttl`, within `grace`. */
  readonly staleFor?: Duration
  /** How long after its `ttl` a value is returned instead of an error. Default: 1 h. Runtime. */
  readonly grace?: Duration
  /** How long a missing value is remembered. Default: 10 s. Runtime. */
  readonly negativeTtl?: Duration
  /** Timeout of one load, including Redis. Default: 5 s. Runtime. */
  readonly timeout?: Duration
  /** Timeout of one Redis command, after which the source is asked. Default: 50 ms. Runtime. */
  readonly redisTimeout?: Duration
  /** How long to wait for another process that loads it, at most `timeout / 2`. Default: 1 s. */
  readonly peerTimeout?: Duration
  /**
   * No load of a key for about so long after one has failed; doubles up to 10 s. Default: 100 ms.
   */
  readonly backOff?: Duration
  /** The tags by which `invalidate({ tag })` finds a value. */
  readonly tags?: (value: Value, key: Key) => readonly string[]
  /** Size of the first tier, in this process. Default: 10,000 entries, 32 MiB. */
  readonly memory?: { readonly items?: number; readonly bytes?: number }
  /** The second tier. Default: none. */
  readonly redis?: RedisClient | CacheRedisOptions
  /**
   * Keys in Redis begin with `punctual:<prefix>:`. Default: the name. On a cluster: `{auth}:user`.
   */
  readonly prefix?: string
  /** Encoding of values in Redis. Default: JSON that keeps dates, bigints, maps, sets and bytes. */
  readonly codec?: CacheCodec
  /**
   * Called with each event. What it throws becomes a process warning. Default: writes to the log.
   */
  readonly onEvent?: (event: CacheEvent) => void
  /** Numbers from 0 up to 1, for jitter. Default: `Math.random`. */
  readonly random?: () => number
  /** Its clock. Default: that of the process. For tests: `new ManualClock().wheel`. */
  readonly wheel?: TimerWheel
}

/** One of `load` and `loadMany` is required; with both, `getMany` uses the second. */
export type ReadThroughOptions<Key extends CacheKey, Value> = CommonOptions<Key, Value> &
  (
    | {
        /** Loads a value from the source. It receives `signal`, `remaining` and `deadline`. */
        readonly load: (key: Key, wait: WaitContext) => Loaded<Value> | PromiseLike<Loaded<Value>>
        /** Loads many values at once. */
        readonly loadMany?: LoadMany<Key, Value>
      }
    | { readonly load?: undefined; readonly loadMany: LoadMany<Key, Value> }
  )

export const READ_THROUGH_OPTIONS: OptionNames<ReadThroughOptions<CacheKey, unknown>> = {
  load: true,
  loadMany: true,
  ttl: true,
  staleFor: true,
  grace: true,
  negativeTtl: true,
  timeout: true,
  redisTimeout: true,
  peerTimeout: true,
  backOff: true,
  tags: true,
  memory: true,
  redis: true,
  prefix: true,
  codec: true,
  onEvent: true,
  random: true,
  wheel: true,
}

export const REDIS_OPTIONS: OptionNames<CacheRedisOptions> = {
  client: true,
  subscriber: true,
  channel: true,
  queue: true,
}

export interface GetOptions extends ParentOption {
  /**
   * Timeout of this caller, within its deadline. Default: unbounded, because the load has its own.
   */
  readonly timeout?: Duration
}

export const GET_OPTIONS: OptionNames<GetOptions> = { parent: true, timeout: true }

/** The source of a cache, behind `load`, `loadMany` or both. */
export class Source<Key extends CacheKey, Value> {
  readonly #name: string
  readonly #options: ReadThroughOptions<Key, Value>

  constructor(name: string, options: ReadThroughOptions<Key, Value>) {
    const { load, loadMany } = options
    if (typeof load !== 'function' && typeof loadMany !== 'function') {
      throw new InvalidOptionError(`readThrough("${name}")`, 'load', load, 'must be a function, or loadMany must')
    }
    this.#name = name
    this.#options = options
  }

  get loadsMany(): boolean {
    return this.#options.loadMany !== undefined
  }

  async one(key: Key, wait: WaitContext): Promise<Loaded<Value>> {
    const { load } = this.#options
    if (load !== undefined) return load(key, wait)
    const [value] = await this.many([key], wait)
    if (value instanceof Error) throw value
    return value
  }

  /** In the order of the keys. */
  async many(keys: readonly Key[], wait: Pick<WaitContext, 'signal'>): Promise<readonly (Loaded<Value> | Error)[]> {
    const { loadMany } = this.#options
    if (loadMany === undefined) throw new TypeError(`readThrough("${this.#name}") has no \`loadMany\``)
    const found: LoadedMany<Key, Value> = await loadMany(keys, wait)
    if (!Array.isArray(found)) return keys.map((key) => (found as ReadonlyMap<Key, Loaded<Value>>).get(key))
    if (found.length === keys.length) return found as readonly (Loaded<Value> | Error)[]
    throw new UsageError(
      `readThrough("${this.#name}"): \`loadMany\` received ${keys.length} keys and returned ${found.length} values; return one for each, in order, or a Map`,
      { details: { cache: this.#name, rule: 'one-value-per-key', keys: keys.length, values: found.length } },
    )
  }
}

export interface CacheDurations {
  readonly ttl: Duration
  readonly grace: Duration
  readonly negativeTtl: Duration
  readonly timeout: Duration
  readonly redisTimeout: Duration
  readonly staleFor: Duration | undefined
}

/** The durations of one cache, which `punctual set cache.<name>.ttl 0s` and the like change. */
export class CacheSettings {
  readonly #ttl: RuntimeValue<Milliseconds>
  readonly #grace: RuntimeValue<Milliseconds>
  readonly #negativeTtl: RuntimeValue<Milliseconds>
  readonly #timeout: RuntimeValue<Milliseconds>
  readonly #redisTimeout: RuntimeValue<Milliseconds>
  readonly #staleFor: Milliseconds | null

  /**
   * @param onChange called after one was changed at runtime
   * @throws InvalidOptionError for an invalid duration or name
   */
  constructor(name: string, durations: CacheDurations, onChange: () => void) {
    const of = `readThrough("${name}")`
    const runtime = (option: Exclude<keyof CacheDurations, 'staleFor'>): RuntimeValue<Milliseconds> =>
      runtimeTimeout(`cache.${name}.${option}`, readDuration(of, option, durations[option]), { onChange })
    const { staleFor } = durations
    this.#staleFor = staleFor === undefined ? null : readDuration(of, 'staleFor', staleFor)
    this.#ttl = runtime('ttl')
    this.#grace = runtime('grace')
    this.#negativeTtl = runtime('negativeTtl')
    this.#timeout = runtime('timeout')
    this.#redisTimeout = runtime('redisTimeout')
  }

  /** A `ttl` of 0 disables the cache. */
  get isEnabled(): boolean {
    return this.#ttl.value > 0
  }

  get lifetimes(): Lifetimes {
    const ttl = this.#ttl.value
    const grace = this.#grace.value
    return { ttl, grace, negativeTtl: this.#negativeTtl.value, staleFor: this.#staleFor ?? Math.min(ttl, grace) }
  }

  get timeout(): Milliseconds {
    return this.#timeout.value
  }

  get redisTimeout(): Milliseconds {
    return this.#redisTimeout.value
  }

  close(): void {
    for (const value of [this.#ttl, this.#grace, this.#negativeTtl, this.#timeout, this.#redisTimeout]) value.close()
  }
}
