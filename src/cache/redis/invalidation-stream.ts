import { type Cancel, every, monotonicNow } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import { type Invalidation, readInvalidation } from '../invalidation.ts'
import { type RedisClient, type RedisSubscriber, subscriberOf } from './redis-client.ts'

/** Milliseconds. */
const HEARTBEAT_INTERVAL = 1_000
const CHECK_INTERVAL = ms(100)
/** Without a heartbeat for so long, the subscription counts as lost. */
const HEARTBEAT_TIMEOUT = 3_000
const RESUBSCRIBE_INTERVAL = 1_000
/** Without a heartbeat for so long, the connection is opened again. */
const SILENCE_TIMEOUT = 2_000

export interface StreamOptions {
  readonly client: RedisClient
  readonly subscriber: RedisClient | null
  readonly channel: string
  /** Of this process. */
  readonly id: string
  readonly publish: (channel: string, message: string) => Promise<unknown>
  /** False while connections to Redis are refused, which the client itself handles. */
  readonly isReachable: () => boolean
  readonly onLost: () => void
}

/** A cache that receives what other processes have invalidated. */
export interface StreamListener {
  readonly prefix: string
  invalidated(invalidation: Invalidation): void
  /** Invalidations may have been missed, so nothing in memory may be used. */
  missed(): void
}

/**
 * The invalidations of other machines, through pub/sub of Redis, which keeps nothing for
 * subscribers that are disconnected.
 *
 * The stream therefore sends itself heartbeats on its own channel, subscribed after the shared one:
 * while it receives them, it receives everything. After a gap it tells the caches.
 */
export class InvalidationStream {
  readonly #options: StreamOptions
  readonly #listeners = new Set<StreamListener>()
  #subscriber: RedisSubscriber | null = null
  #stop: Cancel = () => {}
  #isSubscribing = false
  #hasSubscribed = false
  #isReceiving = false
  #heartbeatReceivedAt = Number.NEGATIVE_INFINITY
  #heartbeatSentAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  /** One heartbeat at a time, so that they do not pile up at a Redis that hangs. */
  #isSendingHeartbeat = false

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get channel(): string {
    return this.#options.channel
  }

  /** Whether everything that is published now will be received. */
  get isReceiving(): boolean {
    return this.#isReceiving
  }

  listen(listener: StreamListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The message that tells other processes, but not this one, of an invalidation. */
  message(prefix: string, invalidation: Invalidation): string {
    return JSON.stringify({ from: this.#options.id, cache: prefix, invalidation })
  }

  open(): void {
    const { client, subscriber } = this.#options
    this.#subscriber = subscriberOf(client, subscriber)
    this.#subscriber.onConnectionChange(() => this.#onConnectionChange())
    this.#stop = every(CHECK_INTERVAL, () => this.#check())
    this.#check()
  }

  close(): void {
    this.#stop()
    this.#subscriber?.close()
    this.#subscriber = null
    this.#hasSubscribed = false
    this.#isReceiving = false
  }

  get #heartbeatChannel(): string {
    return `${this.#options.channel}:${this.#options.id}`
  }

  #check(): void {
    const now = monotonicNow()
    if (this.#isReceiving && now - this.#heartbeatReceivedAt > HEARTBEAT_TIMEOUT) this.#onLost()
    // Before the first heartbeat it is not known whether this process may publish at all.
    const isSilent = this.#heartbeatReceivedAt > 0 && now - this.#heartbeatReceivedAt > SILENCE_TIMEOUT
    if (isSilent && this.#options.isReachable() && this.#subscriber?.reopen() === true) {
      this.#hasSubscribed = false
      this.#triedAt = Number.NEGATIVE_INFINITY
    }
    if (!this.#hasSubscribed && !this.#isSubscribing && now - this.#triedAt > RESUBSCRIBE_INTERVAL) {
      this.#triedAt = now
      void this.#subscribe()
    }
    if (now - this.#heartbeatSentAt < (this.#isReceiving ? HEARTBEAT_INTERVAL : CHECK_INTERVAL)) return
    this.#heartbeatSentAt = now
    this.#sendHeartbeat()
  }

  #sendHeartbeat(): void {
    if (this.#isSendingHeartbeat) return
    this.#isSendingHeartbeat = true
    const end = (): void => {
      this.#isSendingHeartbeat = false
    }
    this.#options.publish(this.#heartbeatChannel, 'heartbeat').then(end, end)
  }

  async #subscribe(): Promise<void> {
    this.#isSubscribing = true
    try {
      await this.#subscriber?.subscribe([this.#options.channel, this.#heartbeatChannel], (channel, message) => {
        if (channel === this.#heartbeatChannel) this.#onHeartbeat()
        else if (channel === this.#options.channel) this.#onMessage(message)
      })
      this.#hasSubscribed = true
      this.#sendHeartbeat()
    } catch {
      // The next check tries again.
    } finally {
      this.#isSubscribing = false
    }
  }

  /** Until the next heartbeat it is not known whether messages arrive. */
  #onConnectionChange(): void {
    if (this.#subscriber === null) return
    if (this.#isReceiving) this.#onLost()
    this.#sendHeartbeat()
  }

  #onLost(): void {
    this.#isReceiving = false
    this.#options.onLost()
  }

  #onHeartbeat(): void {
    this.#heartbeatReceivedAt = monotonicNow()
    if (this.#isReceiving || this.#subscriber === null) return
    this.#isReceiving = true
    for (const listener of this.#listeners) listener.missed()
  }

  #onMessage(text: string): void {
    const message = readMessage(text)
    if (message === null || message.from === this.#options.id) return
    for (const listener of this.#listeners) {
      if (listener.prefix === message.cache) listener.invalidated(message.invalidation)
    }
  }
}

interface StreamMessage {
  readonly from: unknown
  readonly cache: unknown
  readonly invalidation: Invalidation
}

function readMessage(text: string): StreamMessage | null {
  try {
    const { from, cache, invalidation: sent } = JSON.parse(text) as Partial<Record<string, unknown>>
    const invalidation = readInvalidation(sent)
    return invalidation === null ? null : { from, cache, invalidation }
  } catch {
    // The channel is used by another program, or by another version.
    return null
  }
}
