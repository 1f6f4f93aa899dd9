import { randomBytes } from 'node:crypto'
import type { CacheRedisReport } from '../../diagnostics/modules/cache-report.ts'
import { type Milliseconds, ms } from '../../resilience/duration.ts'
import type { WaitContext } from '../../resilience/wait-node.ts'
import type { CacheEvent } from '../cache-events.ts'
import type { CacheCodec } from '../codec.ts'
import { type Drop, dropOfKey } from '../drop.ts'
import { type LostLease, LostLeases } from './lost-leases.ts'
import { type PendingDrop, PendingDrops } from './pending-drops.ts'
import type { RedisLink } from './redis-link.ts'
import { DROP, READ, RELEASE, STORE, TAKE } from './scripts.ts'

/** Who has it is the one that loads a key, of all machines, and the only one that may store it. */
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
  /** It is younger than was asked for. */
  readonly isFresh: boolean
  /** Null where it is fresh, where somebody else has the lease, and where Redis cannot give one. */
  readonly lease: Lease | null
  /** Somebody else loads it. */
  readonly isBusy: boolean
}

export interface RedisTierOptions {
  readonly name: string
  readonly prefix: string
  readonly link: RedisLink
  readonly codec: CacheCodec
  readonly hasTags: boolean
  /** How many invalidations are kept while Redis is away. */
  readonly queue: number
  /** How long one command may take. */
  readonly softTimeout: () => Milliseconds
  readonly undecodable: (error: unknown) => void
  readonly tell: (event: CacheEvent) => void
}

/** Invalidations told at once, and leases given back. */
const AT_ONCE = 500
/** Milliseconds that telling what is queued may take: nobody waits for it. */
const FLUSH_LIMIT = ms(1_000)

/** The second tier of one cache. Whatever Redis does, nothing here rejects, nor takes longer than the soft limit. */
export class RedisTier {
  readonly #options: RedisTierOptions
  readonly #link: RedisLink
  readonly #pending: PendingDrops
  readonly #lost = new LostLeases()
  readonly #unpump: () => void

  constructor(options: RedisTierOptions) {
    this.#options = options
    this.#link = options.link
    this.#pending = new PendingDrops(options.queue)
    this.#unpump = this.#link.addPump({
      flushDrops: () => this.#flushDrops(),
      giveBackLeases: () => this.#giveBackLeases(),
    })
  }

  /** Whether it is worth asking about this key. */
  has(key: string): boolean {
    return this.#link.isUp && !this.#pending.covers(key)
  }

  /**
   * Reads a key, and takes the lease where what is there is older than `fresh` (milliseconds). Null when Redis has not answered in time.
   *
   * @param leaseFor milliseconds
   * @param isUnreadable what is there is known to be
   */
  async read(
    key: string,
    parent: WaitContext,
    fresh: { readonly value: number; readonly absent: number },
    leaseFor: number,
    isUnreadable = false,
  ): Promise<RedisRead | null> {
    const token = newToken()
    const args = (run: string): readonly string[] => [
      run,
      tellNumber(fresh.value),
      tellNumber(fresh.absent),
      token,
      tellLease(leaseFor),
      run + token,
      this.#options.hasTags ? '1' : '0',
    ]
    const answer = await this.#ask('read', parent, READ, this.#keysOf(key), args)
    // No answer, or none to this question; or what was invalidated meanwhile, and could not be told, may be what it answered with.
    if (!Array.isArray(answer) || this.#pending.covers(key)) {
      this.#lost.add({ key, token })
      return null
    }
    const [text, age, isAbsent, loadTook, lease, epoch, mark] = answer as readonly unknown[]
    const stored =
      typeof text === 'string' && !isUnreadable
        ? this.#decode(text, Number(age), isAbsent === '1', Number(loadTook))
        : null
    // It is as good as not there; but Redis took it for fresh, and gave no lease.
    if (typeof text === 'string' && stored === null && Number(lease) === 0) {
      return this.read(key, parent, { value: 0, absent: 0 }, leaseFor, true)
    }
    return {
      stored,
      isFresh: Number(lease) === 0,
      lease: Number(lease) === 1 ? { token, epoch: String(epoch), mark: String(mark) } : null,
      isBusy: Number(lease) === 2,
    }
  }

  /** Stores what was loaded under a lease. Returns false when it was refused, or Redis has not answered. */
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
      tellNumber(Math.max(1, Math.ceil(life))),
      isAbsent ? '1' : '0',
      String(Math.round(loadTook)),
      ...tags,
    ]
    const answer = await this.#ask('store', null, STORE, this.#keysOf(key), () => args)
    if (answer === null) this.#lost.add({ key, token: lease.token })
    return Number(answer) === 1
  }

  /** Gives a lease back. */
  async release(key: string, { token }: Lease): Promise<void> {
    const lease = { key, token }
    this.#lost.add(lease)
    await this.#giveBack([lease], this.#options.softTimeout())
  }

  /**
   * Drops a key and takes its lease from whoever has it, for a value that is set. `reached` is false when Redis was not told and the drop is queued.
   *
   * @param leaseFor milliseconds
   */
  async take(key: string, leaseFor: number): Promise<{ readonly reached: boolean; readonly lease: Lease | null }> {
    const drop = dropOfKey(key)
    const pending = this.#add(drop)
    if (!this.#link.isUp) return { reached: false, lease: null }
    const token = newToken()
    const { prefix, hasTags } = this.#options
    const { stream } = this.#link
    const answer = await this.#ask('take', null, TAKE, this.#keysOf(key), (run) => [
      run,
      stream.channel,
      stream.message(prefix, drop),
      token,
      tellLease(leaseFor),
      run + token,
      hasTags ? '1' : '0',
    ])
    if (!Array.isArray(answer)) {
      this.#lost.add({ key, token })
      return { reached: false, lease: null }
    }
    pending.done()
    const [lease, epoch, mark] = answer as unknown[]
    return {
      reached: true,
      lease: Number(lease) === 1 ? { token, epoch: String(epoch), mark: String(mark) } : null,
    }
  }

  /** Drops for all machines. Returns false when Redis was not told within the soft limit; it will be as soon as it can be. */
  async drop(drop: Drop): Promise<boolean> {
    const pending = this.#add(drop)
    if (!this.#link.isUp) return false
    return this.#tellDrop(pending, this.#options.softTimeout())
  }

  /** All that Redis was not told yet; null for nothing. */
  get pending(): Drop | null {
    return this.#pending.next(Number.POSITIVE_INFINITY)?.drop ?? null
  }

  /** Somebody else's invalidation that Redis was not told. */
  queue(drop: Drop): void {
    this.#add(drop)
  }

  report(): CacheRedisReport {
    const { isUp, breaker, stream, answers, answerTime, failures } = this.#link
    return {
      state: isUp ? 'up' : 'down',
      breaker,
      hears: stream.hears,
      answers,
      answerTime,
      failures,
      queued: this.#pending.size,
    }
  }

  close(): void {
    this.#unpump()
  }

  #add(drop: Drop): PendingDrop {
    return this.#pending.add(drop, () => {
      this.#options.tell({
        type: 'queue-overflow',
        severity: 'warn',
        message: `the cache "${this.#options.name}": more than ${this.#options.queue} invalidations wait for Redis; all it has of this cache will be dropped instead`,
      })
    })
  }

  async #flushDrops(): Promise<void> {
    for (let next = this.#pending.next(AT_ONCE); next !== null; next = this.#pending.next(AT_ONCE)) {
      if (!(await this.#tellDrop(next, FLUSH_LIMIT))) return
    }
  }

  async #giveBackLeases(): Promise<void> {
    const lost = this.#lost.all()
    for (let from = 0; from < lost.length; from += AT_ONCE) {
      if (!(await this.#giveBack(lost.slice(from, from + AT_ONCE), FLUSH_LIMIT))) return
    }
  }

  async #giveBack(leases: readonly LostLease[], limit: Milliseconds): Promise<boolean> {
    const keys = leases.map(({ key }) => this.#leaseKey(key))
    const tokens = leases.map(({ token }) => token)
    const answer = await this.#ask('release', null, RELEASE, keys, () => tokens, limit)
    if (answer === null) return false
    this.#lost.remove(leases)
    return true
  }

  async #tellDrop({ drop, done }: PendingDrop, limit: Milliseconds): Promise<boolean> {
    const { prefix } = this.#options
    const keys = [
      ...drop.keys.flatMap((key) => [this.#valueKey(key), this.#leaseKey(key)]),
      ...drop.tags.map((tag) => this.#tagKey(tag)),
      ...(drop.tags.length > 0 ? [this.#anyTagKey()] : []),
      ...(drop.all ? [this.#epochKey()] : []),
    ]
    const { stream } = this.#link
    const args = [stream.channel, stream.message(prefix, drop)]
    const answer = await this.#ask('drop', null, DROP, keys, () => args, limit)
    if (answer === null) return false
    done()
    return true
  }

  async #ask(
    what: string,
    parent: WaitContext | null,
    script: typeof READ,
    keys: readonly string[],
    args: (run: string) => readonly string[],
    limit = this.#options.softTimeout(),
  ): Promise<unknown> {
    try {
      return await this.#link.ask(`redis: ${what}`, limit, parent, script, keys, args)
    } catch {
      // The link counts it, and says so when it lasts. Nobody else needs to know.
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

  #keysOf(key: string): readonly string[] {
    return [this.#valueKey(key), this.#leaseKey(key), this.#epochKey(), this.#anyTagKey(), this.#tagKey('')]
  }

  #valueKey(key: string): string {
    return `${this.#options.prefix}:${key}`
  }

  #leaseKey(key: string): string {
    return `punctual:lease:${this.#options.prefix}:${key}`
  }

  #epochKey(): string {
    return `punctual:epoch:${this.#options.prefix}`
  }

  #anyTagKey(): string {
    return `punctual:tags:${this.#options.prefix}`
  }

  #tagKey(tag: string): string {
    return `punctual:tag:${this.#options.prefix}:${tag}`
  }
}

function newToken(): string {
  return randomBytes(9).toString('base64url')
}

/** Redis has no infinity; 10^15 ms are 30,000 years. */
function tellNumber(value: number): string {
  return String(Math.min(value, 1e15))
}

function tellLease(value: number): string {
  return String(Math.max(1, Math.ceil(Math.min(value, 60_000))))
}
