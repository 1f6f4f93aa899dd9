import { randomBytes } from 'node:crypto'
import { CACHE_TOPIC } from '../../diagnostics/modules/cache-report.ts'
import type { WorkerChannel } from '../../ipc/worker-channel.ts'
import { after } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import { type Drop, readDrop } from '../drop.ts'
import { afterReading } from './after-reading.ts'
import { STOOD_STILL, Steadiness } from './steadiness.ts'

/**
 * Milliseconds another worker is waited for: before it counts, until it has heard of a new cache and has said what it knows; later, until it acknowledges. One
 * that takes longer stands still, and will know that it did; what is more than that is for the way.
 */
const PEER_LIMIT = ms(STOOD_STILL + 50)

type PeerMessage =
  | { readonly type: 'hello'; readonly from: string; readonly cache: string }
  | {
      readonly type: 'here'
      readonly from: string
      readonly to: string
      readonly cache: string
      /** What Redis has not been told yet. */
      readonly pending: readonly Drop[]
    }
  | {
      readonly type: 'drop'
      readonly from: string
      readonly id: number
      readonly cache: string
      readonly drop: Drop
      /** Redis does not know of it yet: what it has must not be relied upon. */
      readonly queued: boolean
    }
  | { readonly type: 'ack'; readonly from: string; readonly to: string; readonly id: number }

/** What the other workers have to do with the caches of this one. */
export interface PeerHooks {
  /** Carries out what another worker has invalidated, at once. */
  readonly dropped: (cache: string, drop: Drop, queued: boolean) => void
  /** What caches of this prefix have invalidated without Redis knowing it yet. */
  readonly pending: (cache: string) => readonly Drop[]
}

/** The other workers of this machine, as far as they have caches: told of every invalidation, and waited for until they say they have carried it out. */
export class Peers {
  readonly steadiness: Steadiness
  readonly #line: WorkerChannel
  readonly #self: string
  readonly #known = new Set<string>()
  readonly #open = new Map<number, { readonly missing: Set<string>; readonly done: () => void }>()
  readonly #joins = new Set<() => void>()
  readonly #hooks: PeerHooks
  readonly #unhear: () => void
  #last = 0

  constructor(line: WorkerChannel, hooks: PeerHooks) {
    this.#line = line
    this.#hooks = hooks
    this.#self = `${line.worker}-${randomBytes(4).toString('hex')}`
    this.steadiness = new Steadiness()
    this.#unhear = line.subscribe(CACHE_TOPIC, (message) => this.#hear(message as PeerMessage))
  }

  get count(): number {
    return this.#known.size
  }

  /**
   * Tells the other workers that there is a cache of this prefix. Resolves when those that turn know it, so that they wait for what it acknowledges, and
   * have said which invalidations wait for Redis: what it has must not be relied upon before. Never rejects.
   */
  join(cache: string): Promise<void> {
    this.#say({ type: 'hello', from: this.#self, cache })
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        this.#joins.delete(end)
        resolve()
      }
      const cancel = afterReading(PEER_LIMIT, end)
      this.#joins.add(end)
    })
  }

  /** Resolves when all others have carried it out, save those that stand still. Never rejects. */
  tell(cache: string, drop: Drop, queued: boolean): Promise<void> {
    const id = ++this.#last
    this.#say({ type: 'drop', from: this.#self, id, cache, drop, queued })
    if (this.#known.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const missing = new Set(this.#known)
      const cancel = after(PEER_LIMIT, () => {
        this.#open.delete(id)
        // It has left or stands still; it counts again when it is heard of.
        for (const silent of missing) this.#known.delete(silent)
        resolve()
      })
      const done = (): void => {
        this.#open.delete(id)
        cancel()
        resolve()
      }
      this.#open.set(id, { missing, done })
    })
  }

  close(): void {
    this.#unhear()
    this.steadiness.close()
    for (const end of [...this.#joins]) end()
    for (const { done } of [...this.#open.values()]) done()
  }

  #say(message: PeerMessage): void {
    this.#line.broadcast(CACHE_TOPIC, message)
  }

  #hear(message: PeerMessage): void {
    const { from } = message
    if (from === this.#self) return
    this.#known.add(from)
    if (message.type === 'hello') this.#answer(message)
    else if (message.type === 'here') this.#learn(message)
    else if (message.type === 'drop') this.#carryOut(message)
    else if (message.type === 'ack' && message.to === this.#self) this.#acknowledged(message.id, from)
  }

  #answer({ from: to, cache }: Extract<PeerMessage, { type: 'hello' }>): void {
    this.#say({ type: 'here', from: this.#self, to, cache, pending: this.#hooks.pending(cache) })
  }

  #learn({ to, cache, pending }: Extract<PeerMessage, { type: 'here' }>): void {
    if (to !== this.#self) return
    for (const sent of pending) {
      const drop = readDrop(sent)
      if (drop !== null) this.#hooks.dropped(cache, drop, true)
    }
  }

  #carryOut(message: Extract<PeerMessage, { type: 'drop' }>): void {
    const drop = readDrop(message.drop)
    if (drop === null) return
    this.#hooks.dropped(message.cache, drop, message.queued)
    this.#say({ type: 'ack', from: this.#self, to: message.from, id: message.id })
  }

  #acknowledged(id: number, by: string): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    open.missing.delete(by)
    if (open.missing.size === 0) open.done()
  }
}
