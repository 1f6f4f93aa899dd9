import { copyValue, type TakenValue } from './take-value.ts'

/** The lengths of time by which entries are planned, in milliseconds. */
export interface Lifetimes {
  readonly ttl: number
  readonly staleFor: number
  readonly grace: number
  readonly negativeTtl: number
}

/** Entries written at the same moment must not all expire at the same moment. */
const JITTER = 0.1
/**
 * Beyond this many times what a load takes, the chance of an early refresh is below 1 in 10^8, so nothing is drawn before.
 */
const EARLIEST = 20

/** A value in memory, with the instants at which it becomes less good; all in milliseconds of the monotonic clock. */
export class CacheEntry {
  readonly #value: unknown
  readonly #isMutable: boolean
  /** The source has nothing under this key. */
  readonly isAbsent: boolean
  /** What it takes of the memory, estimated. */
  readonly bytes: number
  readonly tags: readonly string[]
  readonly isFromRedis: boolean
  /** When it was loaded, be it by another process. */
  readonly loadedAt: number
  /** How long the load took, in milliseconds. */
  readonly loadTook: number
  /** Of what is known to have been heard; an entry of an older one may have been invalidated unheard. */
  readonly era: number
  readonly #jitter: number
  /** Before this instant there is no reason to think about it at all. */
  quietUntil = 0
  freshUntil = 0
  /** Until then it is answered while it is loaded anew. */
  staleUntil = 0
  /** Until then it is answered in place of an error. */
  graceUntil = 0

  constructor(
    { value, isMutable, bytes }: TakenValue,
    options: {
      readonly isAbsent: boolean
      readonly isFromRedis: boolean
      readonly tags: readonly string[]
      readonly loadedAt: number
      readonly loadTook: number
      readonly era: number
      /** From 0 up to 1. */
      readonly random: number
    },
  ) {
    this.#value = value
    this.#isMutable = isMutable
    this.bytes = bytes
    this.isAbsent = options.isAbsent
    this.tags = options.tags
    this.isFromRedis = options.isFromRedis
    this.loadedAt = options.loadedAt
    this.loadTook = options.loadTook
    this.era = options.era
    this.#jitter = 1 - JITTER + 2 * JITTER * options.random
  }

  /** What a caller is given: the frozen value itself, or a copy where something in it cannot be frozen. */
  give(): unknown {
    return this.#isMutable ? copyValue(this.#value) : this.#value
  }

  /** Sets its instants, at first and when lifetimes were changed. */
  plan({ ttl, staleFor, grace, negativeTtl }: Lifetimes): this {
    const length = (this.isAbsent ? negativeTtl : ttl) * this.#jitter
    this.freshUntil = this.loadedAt + length
    // That there is nothing is not worth keeping beyond its time: somebody may just have signed up.
    this.staleUntil = this.freshUntil + (this.isAbsent ? 0 : staleFor)
    this.graceUntil = this.freshUntil + (this.isAbsent ? 0 : Math.max(staleFor, grace))
    this.quietUntil = this.isAbsent ? this.freshUntil : this.freshUntil - EARLIEST * this.loadTook
    return this
  }

  /**
   * Whether this is the hit that loads it anew although it is still fresh: the likelier the nearer its end, the longer its load takes, and so the
   * more often it is asked for. XFetch, after A. Vattani, F. Chierichetti and K. Lowenstein, "Optimal Probabilistic Cache Stampede
   * Prevention" (VLDB 2015), with beta 1.
   *
   * @param random from 0 up to 1
   */
  wantsRefresh(now: number, random: number): boolean {
    return !this.isAbsent && now - this.loadTook * Math.log(1 - random) >= this.freshUntil
  }
}
