import { randomBytes } from 'node:crypto'
import type { WorkerChannel } from '../ipc/worker-channel.ts'
import { ms } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import { CACHE_TOPIC } from './cache-report.ts'
import { type Invalidation, readInvalidation } from './invalidation.ts'
import { afterReading, STALL_THRESHOLD, StallGuard } from './stall-guard.ts'

/**
 * Milliseconds to wait for another worker: at first, until it knows a new cache and has sent what
 * it knows; later, until it acknowledges. One that takes longer is stalled, and will notice that
 * itself. The 50 ms are for the delivery.
 */
const PEER_TIMEOUT = ms(STALL_THRESHOLD + 50)

type PeerMessage =
  | { readonly type: 'hello'; readonly from: string; readonly cache: string }
  | {
      readonly type: 'welcome'
      readonly from: string
      readonly to: string
      readonly cache: string
      /** What Redis does not have yet. */
      readonly pending: readonly Invalidation[]
    }
  | {
      readonly type: 'invalidate'
      readonly from: string
      readonly id: number
      readonly cache: string
      readonly invalidation: Invalidation
      /** Redis does not have it yet, so its values must not be used. */
      readonly queued: boolean
    }
  | { readonly type: 'ack'; readonly from: string; readonly to: string; readonly id: number }

/** What other workers ask of the caches of this one. */
export interface PeerEvents {
  /** Another worker has invalidated something; to be carried out at once. */
  readonly invalidated: (cache: string, invalidation: Invalidation, queued: boolean) => void
  /** The invalidations of caches of this prefix that Redis does not have yet. */
  readonly pending: (cache: string) => readonly Invalidation[]
}

/** The other workers of this machine that have caches. They acknowledge each invalidation. */
export class Peers {
  readonly stallGuard: StallGuard
  readonly #channel: WorkerChannel
  readonly #self: string
  readonly #known = new Set<string>()
  readonly #open = new Map<number, { readonly missing: Set<string>; readonly done: () => void }>()
  readonly #joins = new Set<() => void>()
  readonly #events: PeerEvents
  readonly #unsubscribe: () => void
  #lastId = 0

  constructor(channel: WorkerChannel, events: PeerEvents) {
    this.#channel = channel
    this.#events = events
    this.#self = `${channel.worker}-${randomBytes(4).toString('hex')}`
    this.stallGuard = new StallGuard()
    this.#unsubscribe = channel.subscribe(CACHE_TOPIC, (message) => this.#onMessage(message as PeerMessage))
  }

  get count(): number {
    return this.#known.size
  }

  /**
   * Announces a cache of this prefix to the other workers. Resolves when those that are not stalled
   * know it, so that they wait for its acknowledgements, and have sent which invalidations Redis
   * does not have yet. Never rejects.
   */
  join(cache: string): Promise<void> {
    this.#send({ type: 'hello', from: this.#self, cache })
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        this.#joins.delete(end)
        resolve()
      }
      const cancel = afterReading(PEER_TIMEOUT, end)
      this.#joins.add(end)
    })
  }

  /** Resolves when all other workers, except stalled ones, have carried it out. Never rejects. */
  invalidate(cache: string, invalidation: Invalidation, queued: boolean): Promise<void> {
    const id = ++this.#lastId
    this.#send({ type: 'invalidate', from: this.#self, id, cache, invalidation, queued })
    if (this.#known.size === 0) return Promise.resolve()
    const missing = new Set(this.#known)
    const close = (): void => void this.#open.delete(id)
    return promiseAtMost(
      PEER_TIMEOUT,
      (resolve) => {
        const done = (): void => {
          close()
          resolve(undefined)
        }
        this.#open.set(id, { missing, done })
      },
      () => {
        close()
        // It has exited or is stalled. It counts again with its next message.
        for (const silent of missing) this.#known.delete(silent)
      },
    )
  }

  close(): void {
    this.#unsubscribe()
    this.stallGuard.close()
    for (const end of [...this.#joins]) end()
    for (const { done } of [...this.#open.values()]) done()
  }

  #send(message: PeerMessage): void {
    this.#channel.broadcast(CACHE_TOPIC, message)
  }

  #onMessage(message: PeerMessage): void {
    const { from } = message
    if (from === this.#self) return
    this.#known.add(from)
    if (message.type === 'hello') this.#onHello(message)
    else if (message.type === 'welcome') this.#onWelcome(message)
    else if (message.type === 'invalidate') this.#onInvalidate(message)
    else if (message.type === 'ack' && message.to === this.#self) this.#onAck(message.id, from)
  }

  #onHello({ from: to, cache }: Extract<PeerMessage, { type: 'hello' }>): void {
    this.#send({ type: 'welcome', from: this.#self, to, cache, pending: this.#events.pending(cache) })
  }

  #onWelcome({ to, cache, pending }: Extract<PeerMessage, { type: 'welcome' }>): void {
    if (to !== this.#self) return
    for (const sent of pending) {
      const invalidation = readInvalidation(sent)
      if (invalidation !== null) this.#events.invalidated(cache, invalidation, true)
    }
  }

  #onInvalidate(message: Extract<PeerMessage, { type: 'invalidate' }>): void {
    const invalidation = readInvalidation(message.invalidation)
    if (invalidation === null) return
    this.#events.invalidated(message.cache, invalidation, message.queued)
    this.#send({ type: 'ack', from: this.#self, to: message.from, id: message.id })
  }

  #onAck(id: number, by: string): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    open.missing.delete(by)
    if (open.missing.size === 0) open.done()
  }
}
