import type { Duration } from '../resilience/duration.ts'
import type { TimerWheel } from '../resilience/timer-wheel.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import type { ParentOption } from '../resilience/wait-scope.ts'
import type { CacheEvent } from './cache-events.ts'
import type { CacheCodec } from './codec.ts'
import type { RedisClient } from './redis/redis-client.ts'

export type CacheKey = string | number | bigint

/** What there is of a value: `null` and `undefined` say that there is none. */
export type Loaded<Value> = Value | null | undefined

/** All values asked for at once: by key, or in the order of the keys. An `Error` in the array fails its key only. */
export type LoadedMany<Key, Value> = ReadonlyMap<Key, Loaded<Value>> | readonly (Loaded<Value> | Error)[]

export type LoadMany<Key, Value> = (
  keys: readonly Key[],
  wait: Pick<WaitContext, 'signal'>,
) => LoadedMany<Key, Value> | PromiseLike<LoadedMany<Key, Value>>

export interface CacheRedisOptions {
  /** A `Redis` of `ioredis`, or what `createClient` of `redis` makes and has been told to connect. */
  readonly client: RedisClient
  /** A connection of its own for what other machines say; one for all caches of a client. Default: `client.duplicate()`. */
  readonly subscriber?: RedisClient
  /** The channel they say it on; one for all caches of a client. Default: `punctual:cache`. */
  readonly channel?: string
  /** Invalidations kept while Redis is away; more, and all it has of this cache is dropped on its return. Default: 10,000. */
  readonly queue?: number
}

interface CommonOptions<Key, Value> {
  /** How long a value is fresh, give or take a tenth; 0 switches the cache off. Default: 5 min. Hot: `cache.<name>.ttl`. */
  readonly ttl?: Duration
  /** How long after that it is still answered at once, while it is loaded anew. Default: as long as `ttl`, at most `grace`. */
  readonly staleFor?: Duration
  /** How long after its `ttl` it is answered in place of an error. Default: 1 h. Hot. */
  readonly grace?: Duration
  /** How long it is remembered that there is nothing. Default: 10 s. Hot. */
  readonly negativeTtl?: Duration
  /** How long one load may take, Redis included. Default: 5 s. Hot. */
  readonly timeout?: Duration
  /** How long Redis is waited for before the source is asked. Default: 50 ms. Hot. */
  readonly softTimeout?: Duration
  /** How long another process that loads the same key is waited for, at most half of `limit`. Default: 1 s. */
  readonly peerTimeout?: Duration
  /** After a load has failed the key is left alone for about so long, twice as long each time, up to 10 s. Default: 100 ms. */
  readonly backOff?: Duration
  /** What `invalidate({ tag })` finds a value by. */
  readonly tags?: (value: Value, key: Key) => readonly string[]
  /** The first tier, in this process. Default: 10,000 entries, 32 MiB. */
  readonly memory?: { readonly items?: number; readonly bytes?: number }
  /** The second tier. Default: none. */
  readonly redis?: RedisClient | CacheRedisOptions
  /** Keys in Redis are `<prefix>:<key>`. Default: the name. For a cluster give it a hash tag, e.g. `{auth}:user`. */
  readonly prefix?: string
  /** How values are written into Redis. Default: JSON that keeps dates, bigints, maps, sets and bytes. */
  readonly codec?: CacheCodec
  /** Hears what happens to the second tier. Default: it is written to the console. */
  readonly onEvent?: (event: CacheEvent) => void
  /** Numbers from 0 up to 1, for jitter. Default: `Math.random`. */
  readonly random?: () => number
  /** Its clock. Default: that of the process. For tests: `new ManualClock().wheel`. */
  readonly wheel?: TimerWheel
}

/** One of `load` and `loadMany` is needed; with both, `getMany` uses the second. */
export type ReadThroughOptions<Key extends CacheKey, Value> = CommonOptions<Key, Value> &
  (
    | {
        /** Asks the source. It is told `signal`, `remaining` and `deadline`. */
        readonly load: (key: Key, wait: WaitContext) => Loaded<Value> | PromiseLike<Loaded<Value>>
        /** Asks it for many keys at once. */
        readonly loadMany?: LoadMany<Key, Value>
      }
    | { readonly load?: undefined; readonly loadMany: LoadMany<Key, Value> }
  )

export interface GetOptions extends ParentOption {
  /** How long this caller waits at most, besides what is left of its deadline. Default: unbounded; the load has a limit itself. */
  readonly timeout?: Duration
}
