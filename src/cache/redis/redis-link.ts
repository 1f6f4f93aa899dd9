import { randomBytes } from 'node:crypto'
import { InvalidOptionError } from '../../errors/invalid-option-error.ts'
import { isFailureOfWork } from '../../resilience/abort-reason.ts'
import { type Breaker, breaker } from '../../resilience/breaker.ts'
import { type Cancel, every, monotonicNow } from '../../resilience/clock.ts'
import { type Milliseconds, ms } from '../../resilience/duration.ts'
import type { WaitContext } from '../../resilience/wait-node.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import type { CacheEvent } from '../cache-events.ts'
import { InvalidationStream } from './invalidation-stream.ts'
import { connectionOf, type RedisClient, type RedisConnection } from './redis-client.ts'
import type { RedisScript } from './scripts.ts'

/** Milliseconds. */
const LOOK_EVERY = ms(100)
const PROBE_LIMIT = ms(1_000)
/** Answers of a server that is well. */
const WELL = /^(OOM|NOSCRIPT|WRONGTYPE|BUSYKEY)\b/

const SHARED = 'as for the other caches of this client, or give this cache a client of its own'

/** Redis cannot be asked now. Never leaves this room. */
class RedisAwayError extends Error {}

const links = new WeakMap<RedisClient, RedisLink>()

/** What a cache has kept for when Redis can be asked again. */
export interface Pump {
  /** Tells it what was invalidated. */
  readonly flushDrops: () => Promise<void>
  /** Gives back leases, which may wait until all caches have told what was invalidated. */
  readonly giveBackLeases: () => Promise<void>
}

/**
 * One client of Redis, shared by all caches that are given it. It is asked only while it answers: a lost connection, or five failures in a row, and it is
 * left alone until a probe of our own succeeds, so that no request pays for finding out.
 */
export class RedisLink {
  /** Of this process, so that it knows what it has sent itself. */
  readonly id: string = randomBytes(8).toString('hex')
  /** Opened by the first cache that joins, closed when the last has left. */
  stream!: InvalidationStream
  readonly #client: RedisClient
  #subscriber: RedisClient | null = null
  readonly #connection: RedisConnection
  readonly #breaker: Breaker
  readonly #pumps = new Set<Pump>()
  /** With how many caches have it: each is told once. */
  readonly #listeners = new Map<(event: CacheEvent) => void, number>()
  #users = 0
  #stop: Cancel = () => {}
  #looking = false
  /** Counts connections: what was asked over an older one may have been answered by another server. */
  #turn = 0
  /** The run of the server, by which its epochs begin; null until asked. */
  #run: string | null = null
  #identifying: Promise<void> | null = null
  #wasUp = true
  answers = 0
  answerTime = 0
  failures = 0

  private constructor(client: RedisClient) {
    this.#client = client
    this.#connection = connectionOf(client)
    this.#connection.onTurn(() => this.#turned())
    this.#breaker = breaker('redis', {
      openFor: '1s',
      maxOpenFor: '5s',
      probeTimeout: PROBE_LIMIT,
      counts: (error) => isFailureOfWork(error) && !(error instanceof Error && WELL.test(error.message)),
    })
  }

  /**
   * The link of this client; `leave` it when it is not needed any more.
   *
   * @param subscriber null for the one it has, or one made like the client
   * @throws InvalidOptionError for a client that is none, or that other caches use with another channel or subscriber
   */
  static join(client: RedisClient, subscriber: RedisClient | null, channel: string): RedisLink {
    let link = links.get(client)
    if (link === undefined) {
      link = new RedisLink(client)
      links.set(client, link)
    }
    link.#enter(subscriber, channel)
    return link
  }

  #enter(subscriber: RedisClient | null, channel: string): void {
    if (this.#users > 0) this.#checkSame(subscriber, channel)
    else this.#open(subscriber, channel)
    this.#users++
  }

  #checkSame(subscriber: RedisClient | null, channel: string): void {
    const { channel: used } = this.stream
    if (channel !== used) {
      throw new InvalidOptionError(
        'readThrough',
        'redis.channel',
        channel,
        `must be ${JSON.stringify(used)}, ${SHARED}`,
      )
    }
    if (subscriber !== null && subscriber !== this.#subscriber) {
      throw new InvalidOptionError(
        'readThrough',
        'redis.subscriber',
        subscriber,
        `must be the same connection, ${SHARED}`,
      )
    }
  }

  #open(subscriber: RedisClient | null, channel: string): void {
    this.#subscriber = subscriber
    this.stream = new InvalidationStream({
      client: this.#client,
      subscriber,
      channel,
      id: this.id,
      publish: (to, message) => this.#publish(to, message),
      deaf: () =>
        this.#tell(
          'deaf',
          'warn',
          'the cache does not hear invalidations of other machines: its connection to Redis is lost',
        ),
    })
    this.stream.open()
    this.#stop = every(LOOK_EVERY, () => void this.#look())
  }

  leave(): void {
    if (--this.#users > 0) return
    this.#stop()
    this.stream.close()
  }

  get breaker(): Breaker['state'] {
    return this.#breaker.state
  }

  get isUp(): boolean {
    return !this.#connection.isLost && this.#breaker.state === 'closed'
  }

  onEvent(listener: (event: CacheEvent) => void): () => void {
    this.#listeners.set(listener, (this.#listeners.get(listener) ?? 0) + 1)
    return () => {
      const left = (this.#listeners.get(listener) ?? 0) - 1
      if (left > 0) this.#listeners.set(listener, left)
      else this.#listeners.delete(listener)
    }
  }

  /** Calls it now and then while Redis answers. */
  addPump(pump: Pump): () => void {
    this.#pumps.add(pump)
    return () => this.#pumps.delete(pump)
  }

  /**
   * Runs a script, for `limit` at most.
   *
   * @param parent what it is part of; null for nothing
   * @param args is told the beginning of this server's epochs
   * @throws RedisAwayError, or any error of the client, of the breaker or of the wait; all mean that nothing is known
   */
  async ask(
    what: string,
    limit: Milliseconds,
    parent: WaitContext | null,
    script: RedisScript,
    keys: readonly string[],
    args: (run: string) => readonly string[],
  ): Promise<unknown> {
    if (!this.isUp) throw new RedisAwayError('Redis is away')
    const from = monotonicNow()
    try {
      return await this.#breaker.run(
        (around) =>
          withTimeout(
            what,
            limit,
            async () => {
              await this.#identified()
              const turn = this.#turn
              const answer = await this.#evaluate(script, keys, args(`${this.#run ?? ''}:`))
              if (turn !== this.#turn) throw new RedisAwayError('the connection to Redis has changed')
              this.answers++
              this.answerTime += monotonicNow() - from
              return answer
            },
            { parent: around },
          ),
        { parent },
      )
    } catch (error) {
      this.failures++
      throw error
    } finally {
      this.#tellState()
    }
  }

  async #evaluate(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args]
    try {
      return await this.#connection.send(['EVALSHA', script.hash, ...rest])
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return this.#connection.send(['EVAL', script.text, ...rest])
    }
  }

  #publish(channel: string, message: string): Promise<unknown> {
    if (this.#connection.isLost) return Promise.reject(new RedisAwayError('Redis is away'))
    return this.#connection.send(['PUBLISH', channel, message])
  }

  #turned(): void {
    this.#turn++
    this.#run = null
    this.#identifying = null
    this.#tellState()
  }

  /** A server that was restarted may have come back with what had been invalidated before; its run tells. */
  #identified(): Promise<void> | void {
    if (this.#run !== null) return
    this.#identifying ??= this.#identify(this.#turn)
    return this.#identifying
  }

  async #identify(turn: number): Promise<void> {
    try {
      const info = await this.#info()
      // In a cluster every node has a run of its own, and which one answers here is chance.
      const run = /redis_mode:cluster/.test(info) ? '' : (/^run_id:(\w+)/m.exec(info)?.[1] ?? '')
      if (turn === this.#turn) this.#run = run
    } finally {
      if (turn === this.#turn) this.#identifying = null
    }
    if (turn !== this.#turn) throw new RedisAwayError('the connection to Redis has changed')
  }

  async #info(): Promise<string> {
    try {
      return String(await this.#connection.send(['INFO', 'server']))
    } catch (error) {
      // Where it is forbidden or unknown, restarts are not watched.
      if (error instanceof Error && /^(NOPERM|ERR)\b/.test(error.message)) return ''
      throw error
    }
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#connection.isLost) return
    this.#looking = true
    try {
      if (this.#breaker.state !== 'closed') await this.#probe()
      const pumps = [...this.#pumps]
      for (const { flushDrops } of pumps) if (this.isUp) await flushDrops()
      for (const { giveBackLeases } of pumps) if (this.isUp) await giveBackLeases()
    } catch {
      // Next time.
    } finally {
      this.#looking = false
      this.#tellState()
    }
  }

  #probe(): Promise<unknown> {
    return this.#breaker.run(
      (around) => withTimeout('redis: probe', PROBE_LIMIT, () => this.#connection.send(['PING']), { parent: around }),
      { parent: null },
    )
  }

  #tellState(): void {
    if (this.isUp === this.#wasUp) return
    this.#wasUp = this.isUp
    if (this.#wasUp) this.#tell('redis-up', 'info', 'Redis answers again; the cache asks it again')
    else {
      const why = this.#connection.isLost ? 'the connection is lost' : 'it does not answer'
      this.#tell('redis-down', 'warn', `the cache does without Redis: ${why}`)
    }
  }

  #tell(type: CacheEvent['type'], severity: CacheEvent['severity'], message: string): void {
    for (const listener of this.#listeners.keys()) listener({ type, severity, message })
  }
}
