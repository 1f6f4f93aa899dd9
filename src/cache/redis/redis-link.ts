import { randomBytes } from 'node:crypto'
import { InvalidOptionError } from '../../errors/punctual-error.ts'
import { isFailureOfWork } from '../../resilience/abort-reason.ts'
import { type Breaker, breaker } from '../../resilience/breaker.ts'
import { type Cancel, every, monotonicNow } from '../../resilience/clock.ts'
import { type Milliseconds, ms } from '../../resilience/duration.ts'
import type { WaitContext } from '../../resilience/wait-node.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import type { CacheEvent } from '../read-through-options.ts'
import { InvalidationStream } from './invalidation-stream.ts'
import { connectionOf, type RedisClient, type RedisConnection } from './redis-client.ts'
import type { RedisScript } from './scripts.ts'

/** Milliseconds. */
const CHECK_INTERVAL = ms(100)
const PROBE_TIMEOUT = ms(1_000)
/** Milliseconds without a reply, although one is due, after which a connection is opened again. */
const SILENCE_TIMEOUT = 2_000
/** Errors that a healthy server replies with. */
const HEALTHY_ERRORS = /^(OOM|NOSCRIPT|WRONGTYPE|BUSYKEY)\b/
/**
 * Replies of a server that does not accept writes, or not these: a replica, too few replicas, a
 * disk that is full, missing permissions. Inside a script some versions put them into a sentence.
 */
const REFUSALS = /\b(READONLY|NOREPLICAS|MISCONF|NOPERM|NOAUTH|MASTERDOWN)\b|can't run this command/
/** Milliseconds until the next attempt to write after a refusal; doubled each time. */
const FIRST_RETRY = 1_000
const MAX_RETRY = 30_000

const SHARED = 'as for the other caches of this client, or give this cache a client of its own'

/** Redis cannot be used now. Not visible outside of this module. */
class RedisDownError extends Error {}

const links = new WeakMap<RedisClient, RedisLink>()

/** Redis refuses writes. */
interface Refusal {
  /** The command that was refused; the refusal is over when one of this name has succeeded. */
  readonly name: string
  readonly reason: string
  readonly delay: number
  /** Until then nothing is sent, in monotonic milliseconds. */
  readonly until: number
}

/** What a cache has kept until Redis can be used again. */
export interface Backlog {
  readonly flushInvalidations: () => Promise<void>
  /** Writes something without effect. */
  readonly probeWrites: () => Promise<void>
  /** Called when all caches have flushed their invalidations. */
  readonly releaseLeases: () => Promise<void>
}

/**
 * One client of Redis, shared by all caches that use it.
 *
 * Commands are sent only while Redis replies. After a lost connection, or five failures in a row,
 * it is left alone until a probe succeeds, so that no request pays for the attempt.
 */
export class RedisLink {
  /** Identifies this process in its messages. */
  readonly id: string = randomBytes(8).toString('hex')
  /** Opened by the first cache that joins, closed by the last one that leaves. */
  stream!: InvalidationStream
  readonly #client: RedisClient
  #subscriber: RedisClient | null = null
  readonly #connection: RedisConnection
  readonly #breaker: Breaker
  readonly #backlogs = new Set<Backlog>()
  /** Listeners with the number of caches that use them; each is called once per event. */
  readonly #listeners = new Map<(event: CacheEvent) => void, number>()
  #users = 0
  #stop: Cancel = () => {}
  #isChecking = false
  /** Counts connections: the reply to an older one may come from another server. */
  #connectionNumber = 0
  /** Id of the run of the server, with which its epochs begin; null until it is known. */
  #runId: string | null = null
  #identifying: Promise<void> | null = null
  #wasUp = true
  #refusal: Refusal | null = null
  /**
   * When the connection was found to be silent, in monotonic milliseconds: it is opened again until
   * it replies. Null if it is not silent.
   */
  #silentAt: number | null = null
  commands = 0
  /** Milliseconds of all commands together. */
  commandTime = 0
  failures = 0

  private constructor(client: RedisClient) {
    this.#client = client
    this.#connection = connectionOf(client)
    this.#connection.onConnectionChange(() => this.#onConnectionChange())
    this.#breaker = breaker('redis', {
      openFor: '1s',
      maxOpenFor: '5s',
      probeTimeout: PROBE_TIMEOUT,
      counts: (error) => isFailureOfWork(error) && !isReply(error),
    })
  }

  /**
   * The link of this client. Call `leave` when it is no longer used.
   *
   * @param subscriber null for the one it has, or a duplicate of the client
   * @throws InvalidOptionError if `client` is not a client of Redis, or if other caches use it with
   *   another channel or subscriber
   */
  static join(client: RedisClient, subscriber: RedisClient | null, channel: string): RedisLink {
    let link = links.get(client)
    if (link === undefined) {
      link = new RedisLink(client)
      links.set(client, link)
    }
    if (link.#users > 0) link.#checkSame(subscriber, channel)
    else link.#open(subscriber, channel)
    link.#users++
    return link
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
      throw new InvalidOptionError('readThrough', 'redis.subscriber', subscriber, `must be the same, ${SHARED}`)
    }
  }

  #open(subscriber: RedisClient | null, channel: string): void {
    const lost = 'invalidations of other machines are not received: the subscription to Redis is lost'
    this.#subscriber = subscriber
    this.stream = new InvalidationStream({
      client: this.#client,
      subscriber,
      channel,
      id: this.id,
      publish: (to, message) => this.#publish(to, message),
      isReachable: () => this.#silentAt !== null || !this.#connection.isLost,
      onLost: () => this.#emit('unsubscribed', 'warn', lost),
    })
    this.stream.open()
    this.#stop = every(CHECK_INTERVAL, () => void this.#check())
  }

  leave(): void {
    if (--this.#users > 0) return
    this.#stop()
    this.stream.close()
    this.#connection.close()
  }

  get breaker(): Breaker['state'] {
    return this.#breaker.state
  }

  get isUp(): boolean {
    return this.#replies && this.#refusal === null
  }

  /** Whether commands are sent: it is up, or it is time to try whether it accepts writes again. */
  get isUsable(): boolean {
    return this.#replies && (this.#refusal === null || monotonicNow() >= this.#refusal.until)
  }

  get #replies(): boolean {
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

  /** Flushes the backlog at intervals while Redis is up. */
  addBacklog(backlog: Backlog): () => void {
    this.#backlogs.add(backlog)
    return () => this.#backlogs.delete(backlog)
  }

  /**
   * Runs a script.
   *
   * @param parent the wait it is part of; null for none
   * @param args receives the prefix of the epochs of this server
   * @throws RedisDownError, or any error of the client, the breaker or the wait: in all cases it is
   *   not known whether the script has run
   */
  async run(
    name: string,
    timeout: Milliseconds,
    parent: WaitContext | null,
    script: RedisScript,
    keys: readonly string[],
    args: (epochPrefix: string) => readonly string[],
  ): Promise<unknown> {
    if (!this.isUsable) throw new RedisDownError('Redis is down')
    const startedAt = monotonicNow()
    const work = async (): Promise<unknown> => {
      await this.#identified()
      const connection = this.#connectionNumber
      const reply = await this.#evaluate(script, keys, args(`${this.#runId ?? ''}:`))
      if (connection !== this.#connectionNumber) throw new RedisDownError('the connection to Redis has changed')
      this.commands++
      this.commandTime += monotonicNow() - startedAt
      return reply
    }
    try {
      const reply = await this.#breaker.run((call) => withTimeout(name, timeout, work, { parent: call }), { parent })
      if (this.#refusal?.name === name) this.#refusal = null
      return reply
    } catch (error) {
      this.failures++
      if (error instanceof Error && REFUSALS.test(error.message)) this.#onRefused(name, error.message)
      throw error
    } finally {
      this.#emitState()
    }
  }

  #onRefused(name: string, message: string): void {
    const before = this.#refusal
    const now = monotonicNow()
    // Commands that were sent before the first refusal.
    if (before !== null && now < before.until) return
    const delay = before === null ? FIRST_RETRY : Math.min(MAX_RETRY, before.delay * 2)
    this.#refusal = { name, reason: message.slice(0, 80), delay, until: now + delay }
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
    if (this.#connection.isLost) return Promise.reject(new RedisDownError('Redis is down'))
    return this.#connection.send(['PUBLISH', channel, message])
  }

  #onConnectionChange(): void {
    this.#connectionNumber++
    // It may be another server.
    this.#refusal = null
    this.#runId = null
    this.#identifying = null
    this.#emitState()
  }

  /**
   * Learns the run of the server: after a restart it may have values that were invalidated before.
   */
  #identified(): Promise<void> | void {
    if (this.#runId !== null) return
    this.#identifying ??= this.#identify(this.#connectionNumber)
    return this.#identifying
  }

  async #identify(connection: number): Promise<void> {
    try {
      const info = await this.#info()
      // In a cluster each node has its own run, and any of them may reply here.
      const runId = /redis_mode:cluster/.test(info) ? '' : (/^run_id:(\w+)/m.exec(info)?.[1] ?? '')
      if (connection === this.#connectionNumber) this.#runId = runId
    } finally {
      if (connection === this.#connectionNumber) this.#identifying = null
    }
    if (connection !== this.#connectionNumber) throw new RedisDownError('the connection to Redis has changed')
  }

  async #info(): Promise<string> {
    try {
      return String(await this.#connection.send(['INFO', 'server']))
    } catch (error) {
      // Restarts are not detected where the command is forbidden or unknown.
      if (error instanceof Error && /^(NOPERM|ERR)\b/.test(error.message)) return ''
      throw error
    }
  }

  #reopenIfSilent(): void {
    const { silentSince, repliedAt, isLost } = this.#connection
    const now = monotonicNow()
    if (this.#silentAt !== null && repliedAt > this.#silentAt) this.#silentAt = null
    else if (silentSince !== null && !isLost && now - silentSince > SILENCE_TIMEOUT) this.#silentAt ??= now
    if (this.#silentAt !== null) this.#connection.reopen()
  }

  async #check(): Promise<void> {
    this.#reopenIfSilent()
    if (this.#isChecking || this.#connection.isLost) return
    this.#isChecking = true
    try {
      if (this.#breaker.state !== 'closed') await this.#probe()
      const backlogs = [...this.#backlogs]
      if (this.#refusal !== null && this.isUsable) await backlogs[0]?.probeWrites()
      for (const { flushInvalidations } of backlogs) if (this.isUsable) await flushInvalidations()
      for (const { releaseLeases } of backlogs) if (this.isUsable) await releaseLeases()
    } catch {
      // The next check tries again.
    } finally {
      this.#isChecking = false
      this.#emitState()
    }
  }

  #probe(): Promise<unknown> {
    const ping = (): Promise<unknown> => this.#connection.send(['PING'])
    return this.#breaker.run((call) => withTimeout('redis: probe', PROBE_TIMEOUT, ping, { parent: call }), {
      parent: null,
    })
  }

  #emitState(): void {
    if (this.isUp === this.#wasUp) return
    this.#wasUp = this.isUp
    if (this.#wasUp) this.#emit('redis-up', 'info', 'Redis replies again; the cache uses it')
    else {
      const refusal = this.#refusal === null ? 'it does not reply' : `it refuses commands: ${this.#refusal.reason}`
      const why = this.#connection.isLost ? 'the connection is lost' : refusal
      this.#emit('redis-down', 'warn', `Redis is unavailable (${why}); serving from memory and the source`)
    }
  }

  #emit(type: CacheEvent['type'], severity: CacheEvent['severity'], message: string): void {
    for (const listener of this.#listeners.keys()) listener({ type, severity, message })
  }
}

/** Whether an error is the reply of a server that is reachable. */
function isReply(error: unknown): boolean {
  return error instanceof Error && (HEALTHY_ERRORS.test(error.message) || REFUSALS.test(error.message))
}
