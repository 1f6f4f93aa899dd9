import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { monotonicNow, wallClock } from '../resilience/clock.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { type QueueEvent, tellError, tellItems } from './defer-events.ts'
import { DeferredItem } from './deferred-item.ts'
import type { HandlingMarks } from './handling-marks.ts'
import { type Adopted, adopt, type Leftover, listOwners } from './spool/adopt.ts'
import { inDiskLane } from './spool/disk-lane.ts'
import { isOwnerAlive, thisOwner } from './spool/owner.ts'
import { splitId } from './spool/segment-format.ts'
import type { Place } from './spool/spool.ts'
import { ulidTime } from './ulid-time.ts'

/** Seconds after which all owners are looked through again though nothing has changed: a process may die without a word. */
const LOOK_EVERY = 5
/** Seconds for which they are looked through after a change: who made it may still have to exit. */
const LOOKS_AFTER_CHANGE = 3
/** What is read at once, so that requests are not held up. */
const PORTION = { items: 1_000, bytes: 1024 * 1024 }
/** With fewer items in the backlog the next portion is read. */
const LOW = 500
/** For how long own items wait for a portion. */
const MORE_LIMIT = '5s'
/** Milliseconds after which files are tried again that could be neither read nor moved nor removed. */
const RETRY_AFTER = 60_000

export interface InheritanceOptions {
  /** `<stateDir>/spool`. */
  readonly directory: string
  readonly queue: string
  /** Items that were taken over and are not begun. */
  readonly waiting: () => number
  /** `more`: there is more to come, which own items should wait for. */
  readonly take: (items: readonly DeferredItem[], more: boolean) => void
  readonly marks: HandlingMarks
  readonly tell: (event: Omit<QueueEvent, 'queue'>) => void
}

/** What one owner has left, as far as it is not finished. */
interface Legacy {
  readonly adopted: Adopted
  readonly owner: string
  /** Deaths that items have been with, by id. */
  readonly deaths: ReadonlyMap<string, number>
  /** Items that were read and are not settled. */
  open: number
  items: number
  toldDamages: number
  /** When what is left of it is tried again, in milliseconds of the monotonic clock; infinite unless all is settled that can be read. */
  retryAt: number
}

/**
 * Takes over what processes have left that are gone, one after the other and a portion at a time, and keeps account of what of it is settled.
 */
export class Inheritance {
  /** Items taken over. */
  adopted = 0
  readonly #options: InheritanceOptions
  readonly #legacies = new Map<Adopted, Legacy>()
  /** The one that is being read. */
  #reading: Legacy | null = null
  #isReading = false
  #seconds = 0
  #looksLeft = 0
  #changedAt = 0
  #isLooking = false
  #closed = false

  constructor(options: InheritanceOptions) {
    this.#options = options
  }

  /** At the start: also what an earlier queue of this name in this process has left. */
  begin(): void {
    const { directory, queue } = this.#options
    this.#take(adopt(directory, queue, thisOwner(), thisOwner(), PORTION), 'this process')
    this.look()
  }

  /** Once a second. To look at the directory is cheap, to look at all owners less so. */
  lookDue(): void {
    this.look(this.#seconds++ % LOOK_EVERY === 0 || this.#looksLeft > 0)
    if (this.#looksLeft > 0) this.#looksLeft--
    if (this.#isLooking) return
    this.#isLooking = true
    const seen = (changedAt: number): void => {
      this.#isLooking = false
      if (changedAt === this.#changedAt) return
      this.#changedAt = changedAt
      this.#looksLeft = LOOKS_AFTER_CHANGE
    }
    inDiskLane(() => stat(join(this.#options.directory, this.#options.queue))).then(
      ({ mtimeMs }) => seen(mtimeMs),
      () => seen(0),
    )
  }

  /** Somebody has died: looks at once, and again while there is no room for it. */
  urge(): void {
    this.#looksLeft = LOOKS_AFTER_CHANGE
    this.look()
  }

  /** Reads on, or looks for somebody who has left something. Never throws. */
  look(atOwners = true): void {
    if (this.#closed || this.#options.waiting() >= LOW) return
    if (this.#reading !== null) void this.#readOn(this.#reading)
    else if (atOwners) this.#lookAtOwners()
  }

  settle(from: Adopted, places: readonly Place[]): void {
    from.settle(places)
    const legacy = this.#legacies.get(from)
    if (legacy === undefined) return
    legacy.open -= places.length
    this.#finish(legacy)
  }

  /** Leaves what is not settled to whoever is next. */
  close(): void {
    this.#closed = true
    this.#reading = null
    for (const { adopted } of this.#legacies.values()) adopted.release()
    this.#legacies.clear()
  }

  #lookAtOwners(): void {
    const { directory, queue } = this.#options
    const now = monotonicNow()
    for (const legacy of this.#legacies.values()) if (legacy.retryAt <= now) return this.#retry(legacy)
    for (const owner of listOwners(directory, queue)) {
      if (isOwnerAlive(owner)) continue
      this.#take(adopt(directory, queue, owner, thisOwner(), PORTION), owner)
      if (this.#reading !== null) return
    }
  }

  #take(adopted: Adopted | null, owner: string): void {
    if (adopted === null) return
    const deaths = this.#options.marks.deathsWith(owner)
    const legacy: Legacy = {
      adopted,
      owner,
      deaths,
      open: 0,
      items: 0,
      toldDamages: 0,
      retryAt: Number.POSITIVE_INFINITY,
    }
    this.#legacies.set(adopted, legacy)
    this.#reading = legacy
    this.#accept(legacy, adopted.items)
    // What it left may be so little that nobody would ask for more.
    void this.#readOn(legacy)
  }

  #retry(legacy: Legacy): void {
    legacy.retryAt = Number.POSITIVE_INFINITY
    legacy.adopted.retry()
    this.#reading = legacy
    void this.#readOn(legacy)
  }

  async #readOn(legacy: Legacy): Promise<void> {
    if (this.#isReading) return
    this.#isReading = true
    const reading = legacy.adopted.more()
    await withTimeout(`what ${this.#options.queue} was left`, MORE_LIMIT, () => reading, { parent: null }).catch(() =>
      this.#options.take([], false),
    )
    const items = await reading
    this.#isReading = false
    if (this.#closed) return
    if (items.length > 0) {
      this.#accept(legacy, items)
      return
    }
    this.#reading = null
    this.#tellDamages(legacy)
    this.#tellTaken(legacy)
    this.#options.take([], false)
    this.#finish(legacy)
    this.look()
  }

  #accept(legacy: Legacy, leftovers: readonly Leftover[]): void {
    const [now, wall] = [monotonicNow(), wallClock().getTime()]
    // Items that a full disk has kept in memory for a while were written down behind younger ones.
    const ordered = [...leftovers].sort((one, other) => (one.id < other.id ? -1 : one.id > other.id ? 1 : 0))
    const items = ordered.map(({ id, json, place }) => {
      const age = Math.max(0, wall - ulidTime(id))
      const { adopted, deaths } = legacy
      const item = new DeferredItem(splitId(id), json, Buffer.byteLength(json), now - age, adopted, deaths.get(id))
      item.standsAt(place)
      return item
    })
    legacy.open += items.length
    legacy.items += items.length
    this.adopted += items.length
    this.#tellDamages(legacy)
    this.#options.take(items, true)
  }

  /** Everything of it has been read and settled. */
  #finish(legacy: Legacy): void {
    if (legacy.open > 0 || legacy === this.#reading) return
    if (legacy.adopted.finish()) this.#legacies.delete(legacy.adopted)
    else legacy.retryAt = monotonicNow() + RETRY_AFTER
  }

  #tellTaken(legacy: Legacy): void {
    const { items, owner } = legacy
    if (items === 0) return
    const { queue, tell } = this.#options
    const message = `deferred ${queue}: took over ${tellItems(items)} of ${owner}${owner === 'this process' ? '' : ', which is gone'}`
    tell({ type: 'adopted', severity: 'info', message, details: { items, owner } })
    legacy.items = 0
  }

  #tellDamages(legacy: Legacy): void {
    const { queue, tell } = this.#options
    for (const damage of legacy.adopted.damaged.slice(legacy.toldDamages)) {
      const { message, ...details } = damage
      tell({ type: 'damaged', severity: 'error', message: `deferred ${queue}: ${tellError(message)}`, details })
    }
    legacy.toldDamages = legacy.adopted.damaged.length
  }
}
