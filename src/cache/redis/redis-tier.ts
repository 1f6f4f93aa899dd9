import { randomBytes } from 'node:crypto'
import { type Milliseconds, ms } from '../../resilience/duration.ts'
import type { WaitContext } from '../../resilience/wait-node.ts'
import type { CacheRedisReport } from '../cache-report.ts'
import type { CacheCodec } from '../codec.ts'
import {
  type Invalidation,
  invalidationOfKey,
  type PendingInvalidation,
  PendingInvalidations,
} from '../invalidation.ts'
import type { CacheEvent } from '../read-through-options.ts'
import type { RedisLink } from './redis-link.ts'
import { INVALIDATE, READ, RELEASE, RedisKeys, STORE, TAKE } from './scripts.ts'

/** The right to load a key and store its value. One process of all machines has it at a time. */
export interface Lease {
  readonly token: string
  readonly epoch: string
  readonly mark: string
}

/** What Redis has under a key. */
export interface StoredValue {
  readonly value: unknown
  /** Milliseconds since it was stored. */
  readonly age: number
  readonly isAbsent: boolean
  /** Milliseconds its load took. */
  readonly loadTook: number
}

export interface RedisRead {
  readonly stored: StoredValue | null
  /** It is younger than the requested age. */
  readonly isFresh: boolean
  /** Null if the value is fresh, if another process has the lease, or if Redis cannot give one. */
  readonly lease: Lease | null
  /** Another process loads it. */
  readonly isBusy: boolean
}

export interface RedisTierOptions {
  readonly name: string
  readonly prefix: string
  readonly link: RedisLink
  readonly codec: CacheCodec
  readonly hasTags: boolean
  /** How many invalidations are kept while Redis is down. */
  readonly queueSize: number
  /** Of one command. */
  readonly timeout: () => Milliseconds
  readonly undecodable: (error: unknown) => void
  readonly emit: (event: CacheEvent) => void
}

interface LostLease {
  readonly key: string
  readonly token: string
}

/** Invalidations, or leases, per command. */
const BATCH_SIZE = 500
/** Milliseconds for flushing the backlog, which no request waits for. */
const FLUSH_TIMEOUT = ms(1_000)
/** Milliseconds; the longest time for which a lease is taken. */
const MAX_LEASE = 60_000
/** More are forgotten; they expire with the timeout of the load. */
const MAX_LOST_LEASES = 1_000

/** The second tier of a cache. Its methods neither reject nor take longer than `redisTimeout`. */
export class RedisTier {
  readonly #options: RedisTierOptions
  readonly #link: RedisLink
  readonly #keys: RedisKeys
  readonly #pending: PendingInvalidations
  readonly #lostLeases = new LostLeases()
  /** Keys that TAKE is invalidating: a flush meanwhile would delete the lease that it takes. */
  readonly #taking = new Set<string>()
  readonly #removeBacklog: () => void

  constructor(options: RedisTierOptions) {
    this.#options = options
    this.#link = options.link
    this.#keys = new RedisKeys(options.prefix)
    this.#pending = new PendingInvalidations(options.queueSize)
    this.#removeBacklog = this.#link.addBacklog({
      flushInvalidations: () => this.#flushInvalidations(),
      probeWrites: () => this.#probeWrites(),
      releaseLeases: () => this.#releaseLostLeases(),
    })
  }

  /**
   * Whether Redis may be read for this key: it is up, and its value is not about to be invalidated.
   */
  isUsable(key: string): boolean {
    return this.#link.isUsable && !this.#pending.covers(key)
  }

  /**
   * Reads a key, and takes the lease if the value is missing or older than `maxAge`. Null when
   * Redis has not replied in time.
   *
   * @param maxAge milliseconds
   * @param leaseTime milliseconds
   * @param isUnreadable the value is known to be undecodable
   */
  async read(
    key: string,
    parent: WaitContext,
    maxAge: { readonly value: number; readonly absent: number },
    leaseTime: number,
    isUnreadable = false,
  ): Promise<RedisRead | null> {
    const token = newToken()
    const args = (epochPrefix: string): readonly string[] => [
      epochPrefix,
      formatMilliseconds(maxAge.value),
      formatMilliseconds(maxAge.absent),
      token,
      formatLeaseTime(leaseTime),
      epochPrefix + token,
      this.#options.hasTags ? '1' : '0',
    ]
    const reply = await this.#run('read', parent, READ, this.#keys.allOf(key), args)
    // No reply, or one that an invalidation in the meantime has made outdated.
    if (!Array.isArray(reply) || this.#pending.covers(key)) {
      this.#lostLeases.add({ key, token })
      return null
    }
    const [text, age, isAbsent, loadTook, lease, epoch, mark] = reply as readonly unknown[]
    const stored =
      typeof text === 'string' && !isUnreadable
        ? this.#decode(text, Number(age), isAbsent === '1', Number(loadTook))
        : null
    // An undecodable value counts as missing, but Redis considered it fresh and gave no lease.
    if (typeof text === 'string' && stored === null && Number(lease) === 0) {
      return this.read(key, parent, { value: 0, absent: 0 }, leaseTime, true)
    }
    return {
      stored,
      isFresh: Number(lease) === 0,
      lease: Number(lease) === 1 ? { token, epoch: String(epoch), mark: String(mark) } : null,
      isBusy: Number(lease) === 2,
    }
  }

  /** Stores what was loaded under a lease. Returns false if Redis refused it or has not replied. */
  async store(
    key: string,
    lease: Lease,
    { value, isAbsent, loadTook, tags, life }: Omit<StoredValue, 'age'> & { tags: readonly string[]; life: number },
  ): Promise<boolean> {
    let text: string
    try {
      text = this.#options.codec.encode(isAbsent ? null : value)
    } catch (error) {
      this.#options.undecodable(error)
      await this.release(key, lease)
      return false
    }
    const args = [
      lease.token,
      lease.epoch,
      lease.mark,
      text,
      formatMilliseconds(Math.max(1, Math.ceil(life))),
      isAbsent ? '1' : '0',
      String(Math.round(loadTook)),
      ...tags,
    ]
    const reply = await this.#run('store', null, STORE, this.#keys.allOf(key), () => args)
    if (reply === null) this.#lostLeases.add({ key, token: lease.token })
    return Number(reply) === 1
  }

  /** Releases a lease without storing a value. */
  async release(key: string, { token }: Lease): Promise<void> {
    const lease = { key, token }
    this.#lostLeases.add(lease)
    await this.#releaseLeases([lease], this.#options.timeout())
  }

  /**
   * Invalidates a key and takes its lease from any other process, for a value that is being set.
   * `reached` is false when Redis has not replied, and the invalidation is queued.
   *
   * @param leaseTime milliseconds
   */
  async take(key: string, leaseTime: number): Promise<{ readonly reached: boolean; readonly lease: Lease | null }> {
    const invalidation = invalidationOfKey(key)
    const pending = this.#add(invalidation)
    if (!this.#link.isUsable) return { reached: false, lease: null }
    const token = newToken()
    const { prefix, hasTags } = this.#options
    const { stream } = this.#link
    this.#taking.add(key)
    const reply = await this.#run('take', null, TAKE, this.#keys.allOf(key), (epochPrefix) => [
      epochPrefix,
      stream.channel,
      stream.message(prefix, invalidation),
      token,
      formatLeaseTime(leaseTime),
      epochPrefix + token,
      hasTags ? '1' : '0',
    ])
    this.#taking.delete(key)
    if (!Array.isArray(reply)) {
      this.#lostLeases.add({ key, token })
      return { reached: false, lease: null }
    }
    pending.done()
    const [lease, epoch, mark] = reply as unknown[]
    return {
      reached: true,
      lease: Number(lease) === 1 ? { token, epoch: String(epoch), mark: String(mark) } : null,
    }
  }

  /** Invalidates for all machines. False: Redis has not replied, and it is queued. */
  async invalidate(invalidation: Invalidation): Promise<boolean> {
    const pending = this.#add(invalidation)
    if (!this.#link.isUsable) return false
    return this.#send(pending, this.#options.timeout())
  }

  /** Everything that Redis does not have yet; null for nothing. */
  get pending(): Invalidation | null {
    return this.#pending.next(Number.POSITIVE_INFINITY)?.invalidation ?? null
  }

  /** Queues an invalidation of another cache that Redis does not have yet. */
  queue(invalidation: Invalidation): void {
    this.#add(invalidation)
  }

  report(): CacheRedisReport {
    const { isUp, breaker, stream, commands, commandTime, failures } = this.#link
    return {
      state: isUp ? 'up' : 'down',
      breaker,
      subscribed: stream.isReceiving,
      commands,
      commandTime,
      failures,
      queued: this.#pending.size,
    }
  }

  close(): void {
    this.#removeBacklog()
  }

  #add(invalidation: Invalidation): PendingInvalidation {
    return this.#pending.add(invalidation, () => {
      const { name, queueSize } = this.#options
      this.#options.emit({
        type: 'queue-overflow',
        severity: 'warn',
        message: `cache "${name}": more than ${queueSize} invalidations wait for Redis; the whole cache will be invalidated there`,
      })
    })
  }

  async #flushInvalidations(): Promise<void> {
    const following = (): PendingInvalidation | null => this.#pending.next(BATCH_SIZE, this.#taking)
    for (let next = following(); next !== null; next = following()) {
      if (!(await this.#send(next, FLUSH_TIMEOUT))) return
    }
  }

  async #probeWrites(): Promise<void> {
    const { stream } = this.#link
    const nothing = stream.message(this.#options.prefix, { keys: [], tags: [], all: false })
    await this.#run('invalidate', null, INVALIDATE, [this.#keys.probe], () => [stream.channel, nothing], FLUSH_TIMEOUT)
  }

  async #releaseLostLeases(): Promise<void> {
    const lost = this.#lostLeases.all()
    for (let from = 0; from < lost.length; from += BATCH_SIZE) {
      if (!(await this.#releaseLeases(lost.slice(from, from + BATCH_SIZE), FLUSH_TIMEOUT))) return
    }
  }

  async #releaseLeases(leases: readonly LostLease[], timeout: Milliseconds): Promise<boolean> {
    const keys = leases.map(({ key }) => this.#keys.lease(key))
    const tokens = leases.map(({ token }) => token)
    const reply = await this.#run('release', null, RELEASE, keys, () => tokens, timeout)
    if (reply === null) return false
    this.#lostLeases.remove(leases)
    return true
  }

  async #send({ invalidation, done }: PendingInvalidation, timeout: Milliseconds): Promise<boolean> {
    const { stream } = this.#link
    const args = [stream.channel, stream.message(this.#options.prefix, invalidation)]
    const keys = this.#keys.deletedBy(invalidation)
    const reply = await this.#run('invalidate', null, INVALIDATE, keys, () => args, timeout)
    if (reply === null) return false
    done()
    return true
  }

  async #run(
    name: string,
    parent: WaitContext | null,
    script: typeof READ,
    keys: readonly string[],
    args: (epochPrefix: string) => readonly string[],
    timeout = this.#options.timeout(),
  ): Promise<unknown> {
    try {
      return await this.#link.run(`redis: ${name}`, timeout, parent, script, keys, args)
    } catch {
      // The link counts failures and emits an event when Redis is down.
      return null
    }
  }

  #decode(text: string, age: number, isAbsent: boolean, loadTook: number): StoredValue | null {
    if (isAbsent) return { value: undefined, age, isAbsent, loadTook }
    try {
      return { value: this.#options.codec.decode(text), age, isAbsent, loadTook }
    } catch (error) {
      this.#options.undecodable(error)
      return null
    }
  }
}

/**
 * Leases that Redis may have given without a timely reply, or whose release it may have missed.
 * Other processes would wait for a load that does not happen, so they are released as soon as Redis
 * is up. Releasing a lease that is not held has no effect.
 */
class LostLeases {
  /** Keys by token. */
  readonly #keys = new Map<string, string>()

  add({ key, token }: LostLease): void {
    this.#keys.set(token, key)
    if (this.#keys.size <= MAX_LOST_LEASES) return
    const [oldest] = this.#keys.keys()
    if (oldest !== undefined) this.#keys.delete(oldest)
  }

  /** The oldest first. */
  all(): readonly LostLease[] {
    return Array.from(this.#keys, ([token, key]) => ({ token, key }))
  }

  remove(leases: readonly LostLease[]): void {
    for (const { token } of leases) this.#keys.delete(token)
  }
}

function newToken(): string {
  return randomBytes(9).toString('base64url')
}

/** Redis has no infinity; 10^15 ms are 30,000 years. */
function formatMilliseconds(value: number): string {
  return String(Math.min(value, 1e15))
}

function formatLeaseTime(value: number): string {
  return String(Math.max(1, Math.ceil(Math.min(value, MAX_LEASE))))
}
