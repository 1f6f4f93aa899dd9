import { randomBytes } from 'node:crypto'
import type { WorkerLine } from '../../protocol/worker-line.ts'
import { CACHE_TOPIC } from '../../report/rooms/cache-report.ts'
import { after } from '../../wait/clock.ts'
import { ms } from '../../wait/duration.ts'
import { type Drop, readDrop } from '../drop.ts'
import { Steadiness } from './steadiness.ts'

/** Milliseconds another worker is waited for. One that takes longer stands still, and will know that it did (`STOOD_STILL`). */
const ACK_LIMIT = 250

type PeerMessage =
  | { readonly type: 'hello' | 'here'; readonly from: string }
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

/** The other workers of this machine, as far as they have caches: told of every invalidation, and waited for until they say they have carried it out. */
export class Peers {
  readonly steadiness: Steadiness
  readonly #line: WorkerLine
  readonly #self: string
  readonly #known = new Set<string>()
  readonly #open = new Map<number, { readonly missing: Set<string>; readonly done: () => void }>()
  readonly #dropped: (cache: string, drop: Drop, queued: boolean) => void
  readonly #unhear: () => void
  #last = 0

  /** @param dropped carries out what another worker has invalidated, at once */
  constructor(line: WorkerLine, dropped: (cache: string, drop: Drop, queued: boolean) => void) {
    this.#line = line
    this.#dropped = dropped
    this.#self = `${line.worker}-${randomBytes(4).toString('hex')}`
    this.steadiness = new Steadiness()
    this.#unhear = line.hear(CACHE_TOPIC, (message) => this.#hear(message as PeerMessage))
    this.#say({ type: 'hello', from: this.#self })
  }

  get count(): number {
    return this.#known.size
  }

  /** Resolves when all others have carried it out, save those that stand still. Never rejects. */
  tell(cache: string, drop: Drop, queued: boolean): Promise<void> {
    const id = ++this.#last
    this.#say({ type: 'drop', from: this.#self, id, cache, drop, queued })
    if (this.#known.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const missing = new Set(this.#known)
      const cancel = after(ms(ACK_LIMIT), () => {
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
    for (const { done } of [...this.#open.values()]) done()
  }

  #say(message: PeerMessage): void {
    this.#line.broadcast(CACHE_TOPIC, message)
  }

  #hear(message: PeerMessage): void {
    const { from } = message
    if (from === this.#self) return
    this.#known.add(from)
    if (message.type === 'hello') this.#say({ type: 'here', from: this.#self })
    else if (message.type === 'drop') this.#carryOut(message)
    else if (message.type === 'ack' && message.to === this.#self) this.#acknowledged(message.id, from)
  }

  #carryOut(message: Extract<PeerMessage, { type: 'drop' }>): void {
    const drop = readDrop(message.drop)
    if (drop === null) return
    this.#dropped(message.cache, drop, message.queued)
    this.#say({ type: 'ack', from: this.#self, to: message.from, id: message.id })
  }

  #acknowledged(id: number, by: string): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    open.missing.delete(by)
    if (open.missing.size === 0) open.done()
  }
}
