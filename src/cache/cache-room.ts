import { CACHE_TOPIC, type CacheReport, type CacheRoomReport } from '../diagnostics/modules/cache-report.ts'
import { type WorkerChannel, workerChannel } from '../ipc/worker-channel.ts'
import type { Drop } from './drop.ts'
import { Peers } from './workers/peers.ts'
import type { Steadiness } from './workers/steadiness.ts'

/** What the room knows of a cache. */
export interface RoomCache {
  /** What it is called on the way to other processes: the beginning of its keys in Redis. */
  readonly prefix: string
  report(): CacheReport
  /** Another process, or another cache of the same prefix, has invalidated this. `queued`: Redis does not know yet. */
  hearDrop(drop: Drop, queued: boolean): void
  /** What Redis does not know yet; null for nothing. */
  pending(): Drop | null
}

const modules = new WeakMap<object, CacheRoom>()
const ALONE = {}

/** All caches of this process that speak over one line. */
export class CacheRoom {
  readonly #caches = new Map<string, Set<RoomCache>>()
  readonly #line: WorkerChannel | null
  #peers: Peers | null = null
  #unreport: () => void = () => {}

  private constructor(line: WorkerChannel | null) {
    this.#line = line
  }

  static current(): CacheRoom {
    const line = workerChannel()
    const holder = line ?? ALONE
    let room = modules.get(holder)
    if (room === undefined) {
      room = new CacheRoom(line)
      modules.set(holder, room)
    }
    return room
  }

  /** Null where there are no other workers. */
  get steadiness(): Steadiness | null {
    return this.#peers?.steadiness ?? null
  }

  /** Resolves when the other workers know of it and it knows of them; null where there are none. */
  enter(cache: RoomCache): Promise<void> | null {
    if (this.#caches.size === 0 && this.#line !== null) {
      this.#peers = new Peers(this.#line, {
        dropped: (prefix, drop, queued) => this.#drop(prefix, drop, queued, null),
        pending: (prefix) => this.#pending(prefix),
      })
      this.#unreport = this.#line.report(CACHE_TOPIC, () => this.#report())
    }
    for (const drop of this.#pending(cache.prefix)) cache.hearDrop(drop, true)
    let siblings = this.#caches.get(cache.prefix)
    if (siblings === undefined) {
      siblings = new Set()
      this.#caches.set(cache.prefix, siblings)
    }
    siblings.add(cache)
    return this.#peers?.join(cache.prefix) ?? null
  }

  leave(cache: RoomCache): void {
    const siblings = this.#caches.get(cache.prefix)
    siblings?.delete(cache)
    if (siblings?.size === 0) this.#caches.delete(cache.prefix)
    if (this.#caches.size > 0) return
    this.#unreport()
    this.#peers?.close()
    this.#peers = null
  }

  /** Tells the other workers, and caches of the same prefix in this process. Resolves when all that turn have carried it out. */
  tell(cache: RoomCache, drop: Drop, queued: boolean): Promise<void> {
    this.#drop(cache.prefix, drop, queued, cache)
    return this.#peers === null ? Promise.resolve() : this.#peers.tell(cache.prefix, drop, queued)
  }

  #pending(prefix: string): readonly Drop[] {
    return [...(this.#caches.get(prefix) ?? [])].flatMap((cache) => cache.pending() ?? [])
  }

  #drop(prefix: string, drop: Drop, queued: boolean, but: RoomCache | null): void {
    for (const cache of this.#caches.get(prefix) ?? []) {
      if (cache !== but) cache.hearDrop(drop, queued)
    }
  }

  #report(): CacheRoomReport {
    return {
      caches: [...this.#caches.values()].flatMap((siblings) => [...siblings].map((cache) => cache.report())),
      peers: this.#peers?.count ?? 0,
    }
  }
}
