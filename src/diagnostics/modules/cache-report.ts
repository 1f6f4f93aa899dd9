/** Under which workers report, and tell each other what was invalidated. */
export const CACHE_TOPIC = 'cache'

/** What a worker reports of its caches, under `CACHE_TOPIC`. */
export interface CacheRoomReport {
  readonly caches: readonly CacheReport[]
  /** Other workers of this machine that are told of invalidations; 0 outside Punctual. */
  readonly peers: number
}

/** One cache, in one worker. */
export interface CacheReport {
  readonly name: string
  /** Entries in memory. */
  readonly items: number
  /** What they take, estimated. */
  readonly bytes: number
  /** Answers from memory or Redis, of all; 0 to 1. Null before anybody asked. */
  readonly hitRate: number | null
  /** False while its `ttl` is 0. */
  readonly on: boolean
  readonly counts: CacheCounts
  /** Null without a second tier. */
  readonly redis: CacheRedisReport | null
}

/** Since the cache was made. */
export interface CacheCounts {
  readonly hitsMemory: number
  readonly hitsRedis: number
  /** Waited for a load, or had its error. */
  readonly misses: number
  /** Answered with a value past its `ttl`, while it is loaded anew. */
  readonly stale: number
  /** Answered with a value past its time because the load failed or took too long. */
  readonly degraded: number
  readonly loads: number
  readonly loadErrors: number
  /** Loads that were cancelled because the last caller had left. */
  readonly loadsAbandoned: number
  /** Callers that shared a load which somebody else had begun. */
  readonly coalesced: number
  /** Callers that were given the error of a load that failed a moment ago. */
  readonly backedOff: number
  /** Loads begun before their value had expired. */
  readonly refreshes: number
  /** Loads that another process was waited for. */
  readonly peerWaits: number
  readonly invalidations: number
  /** Values in Redis that could not be decoded. */
  readonly undecodable: number
  /** Values that Redis was not given, because they had been invalidated meanwhile or it had no room. */
  readonly storesRefused: number
}

export interface CacheRedisReport {
  /** `down`: its connection is lost, or its breaker is open; it is not asked. */
  readonly state: 'up' | 'down'
  readonly breaker: 'closed' | 'open' | 'half-open'
  /** Whether invalidations of other machines are heard. */
  readonly hears: boolean
  /** Commands that were answered, and how long that took, in milliseconds together. */
  readonly answers: number
  readonly answerTime: number
  /** Commands that failed or took longer than the soft limit. */
  readonly failures: number
  /** Invalidations that Redis has not been told yet. */
  readonly queued: number
}
