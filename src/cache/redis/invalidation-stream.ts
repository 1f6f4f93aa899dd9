import { type Cancel, every, monotonicNow } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import { type Drop, readDrop } from '../drop.ts'
import { type RedisClient, type RedisSubscriber, subscriberOf } from './redis-client.ts'

/** Milliseconds. */
const BEAT_EVERY = 1_000
const LOOK_EVERY = ms(100)
/** So long without its own beat it counts as deaf. */
const DEAF_AFTER = 3_000
const SUBSCRIBE_AGAIN_AFTER = 1_000

export interface StreamOptions {
  readonly client: RedisClient
  readonly subscriber: RedisClient | null
  readonly channel: string
  /** Of this process. */
  readonly id: string
  readonly publish: (channel: string, message: string) => Promise<unknown>
  readonly deaf: () => void
}

/** Who hears what other processes have invalidated. */
export interface StreamListener {
  readonly prefix: string
  hearDrop(drop: Drop): void
  /** Something may have been missed: nothing in memory may be relied upon. */
  missed(): void
}

/**
 * The invalidations of other machines, over Redis' pub/sub, which keeps nothing for those who are away. So it sends itself a beat on a channel of its own,
 * subscribed after the other: while that is heard, so is everything. When it is heard again after a gap, the caches are told.
 */
export class InvalidationStream {
  readonly #options: StreamOptions
  readonly #listeners = new Set<StreamListener>()
  #subscriber: RedisSubscriber | null = null
  #stop: Cancel = () => {}
  #isSubscribing = false
  #isSubscribed = false
  #hears = false
  #heardAt = Number.NEGATIVE_INFINITY
  #beatAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  /** One at a time: a Redis that hangs must not be sent one after the other. */
  #isBeating = false

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get channel(): string {
    return this.#options.channel
  }

  /** Whether everything that is said now will be heard. */
  get hears(): boolean {
    return this.#hears
  }

  listen(listener: StreamListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What is sent to all: everything but what this process has sent itself will be heard by it. */
  message(prefix: string, drop: Drop): string {
    return JSON.stringify({ from: this.#options.id, cache: prefix, drop })
  }

  open(): void {
    const { client, subscriber } = this.#options
    this.#subscriber = subscriberOf(client, subscriber)
    this.#subscriber.onTurn(() => this.#turned())
    this.#stop = every(LOOK_EVERY, () => this.#look())
    this.#look()
  }

  close(): void {
    this.#stop()
    this.#subscriber?.close()
    this.#subscriber = null
    this.#isSubscribed = false
    this.#hears = false
  }

  get #ownChannel(): string {
    return `${this.#options.channel}:${this.#options.id}`
  }

  #look(): void {
    const now = monotonicNow()
    if (this.#hears && now - this.#heardAt > DEAF_AFTER) this.#goDeaf()
    if (!this.#isSubscribed && !this.#isSubscribing && now - this.#triedAt > SUBSCRIBE_AGAIN_AFTER) {
      this.#triedAt = now
      void this.#subscribe()
    }
    if (now - this.#beatAt < (this.#hears ? BEAT_EVERY : LOOK_EVERY)) return
    this.#beatAt = now
    this.#beat()
  }

  #beat(): void {
    if (this.#isBeating) return
    this.#isBeating = true
    const ended = (): void => {
      this.#isBeating = false
    }
    this.#options.publish(this.#ownChannel, 'beat').then(ended, ended)
  }

  async #subscribe(): Promise<void> {
    this.#isSubscribing = true
    try {
      await this.#subscriber?.subscribe([this.#options.channel, this.#ownChannel], (channel, message) => {
        if (channel === this.#ownChannel) this.#heardBeat()
        else if (channel === this.#options.channel) this.#heard(message)
      })
      this.#isSubscribed = true
      this.#beat()
    } catch {
      // The next look tries again.
    } finally {
      this.#isSubscribing = false
    }
  }

  /** Its connection was lost or made: until the next beat nobody knows what is heard. */
  #turned(): void {
    if (this.#subscriber === null) return
    if (this.#hears) this.#goDeaf()
    this.#beat()
  }

  #goDeaf(): void {
    this.#hears = false
    this.#options.deaf()
  }

  #heardBeat(): void {
    this.#heardAt = monotonicNow()
    if (this.#hears || this.#subscriber === null) return
    this.#hears = true
    for (const listener of this.#listeners) listener.missed()
  }

  #heard(text: string): void {
    const message = readMessage(text)
    if (message === null || message.from === this.#options.id) return
    for (const listener of this.#listeners) if (listener.prefix === message.cache) listener.hearDrop(message.drop)
  }
}

function readMessage(text: string): { readonly from: unknown; readonly cache: unknown; readonly drop: Drop } | null {
  try {
    const { from, cache, drop: sent } = JSON.parse(text) as Partial<Record<string, unknown>>
    const drop = readDrop(sent)
    return drop === null ? null : { from, cache, drop }
  } catch {
    // Somebody else uses the channel, or another version.
    return null
  }
}
