import { EventEmitter } from 'node:events'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { monotonicNow, wallClock } from '../resilience/clock.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import type { Backlog } from './backlog.ts'
import { QueueItem } from './batch.ts'
import type { CrashMarkers } from './crash-markers.ts'
import { formatError, formatItems, type QueueEvents } from './queue-events.ts'
import { inFileQueue } from './spool/file-io.ts'
import { isOwnerAlive, listOwners, thisOwner } from './spool/owner.ts'
import { type RecoveredItem, type RecoveryReader, recoverSpool } from './spool/recovery-reader.ts'
import type { Place } from './spool/segment.ts'
import { splitId } from './spool/segment-format.ts'
import { ulidTime } from './ulid.ts'

/** Seconds between checks of all owners without a change: a process may be killed. */
const CHECK_EVERY = 5
/** Checks after a change, one a second: the process that made it may still be exiting. */
const CHECKS_AFTER_CHANGE = 3
/** What is read at a time, so that requests are not delayed. */
const PORTION = { items: 1_000, bytes: 1024 * 1024 }
/** When fewer recovered items than this wait, the next portion is read. */
const LOW = 500
/** How long own items wait for a portion. */
const READ_TIMEOUT = '5s'
/** Milliseconds after which files are retried that could be neither read nor moved nor removed. */
const RETRY_AFTER = 60_000

export interface OrphanRecoveryOptions {
  /** `<stateDir>/spool`. */
  readonly directory: string
  readonly queue: string
  readonly backlog: Pick<Backlog, 'recovered'>
  readonly markers: CrashMarkers
  readonly events: QueueEvents
}

/** The unfinished items of one owner. */
interface OrphanedSpool {
  readonly reader: RecoveryReader
  readonly owner: string
  /** Crashes by item id. */
  readonly crashes: ReadonlyMap<string, number>
  /** Items that were read and are not settled. */
  open: number
  /** Items that were read and are not reported. */
  unreported: number
  reportedDamages: number
  /** When its files are retried (monotonic milliseconds); infinite while they are being read. */
  retryAt: number
}

interface RecoveryEvents {
  /** Items were recovered. `more`: others follow, and own items should wait for them. */
  items: [items: readonly QueueItem[], more: boolean]
}

/** Recovers the items of processes that exited, one after the other, a portion at a time. */
export class OrphanRecovery extends EventEmitter<RecoveryEvents> {
  /** Items recovered so far. */
  recovered = 0
  readonly #options: OrphanRecoveryOptions
  readonly #spools = new Map<RecoveryReader, OrphanedSpool>()
  /** The one that is being read. */
  #current: OrphanedSpool | null = null
  #isReading = false
  #seconds = 0
  #checksLeft = 0
  #changedAt = 0
  #isStatPending = false
  #closed = false

  constructor(options: OrphanRecoveryOptions) {
    super()
    this.#options = options
  }

  /** Also recovers the items of an earlier queue of this name in this process. */
  start(): void {
    const { directory, queue } = this.#options
    this.#begin(recoverSpool(directory, queue, thisOwner(), thisOwner(), PORTION), 'this process')
    this.check()
  }

  /** To be called once a second. Checking the directory is cheap, checking all owners less so. */
  checkDue(): void {
    if (this.#seconds++ % CHECK_EVERY === 0 || this.#checksLeft > 0) this.check()
    else this.readMore()
    if (this.#checksLeft > 0) this.#checksLeft--
    if (this.#isStatPending) return
    this.#isStatPending = true
    const onStat = (changedAt: number): void => {
      this.#isStatPending = false
      if (changedAt === this.#changedAt) return
      this.#changedAt = changedAt
      this.#checksLeft = CHECKS_AFTER_CHANGE
    }
    inFileQueue(() => stat(join(this.#options.directory, this.#options.queue))).then(
      ({ mtimeMs }) => onStat(mtimeMs),
      () => onStat(0),
    )
  }

  /** A process has died: checks now, and again while the backlog is full. */
  onProcessDeath(): void {
    this.#checksLeft = CHECKS_AFTER_CHANGE
    this.check()
  }

  /** Reads the next portion, or looks for an owner that has exited. Never throws. */
  check(): void {
    if (this.readMore() || !this.#hasRoom) return
    const { directory, queue } = this.#options
    const now = monotonicNow()
    for (const spool of this.#spools.values()) if (spool.retryAt <= now) return this.#retry(spool)
    for (const owner of listOwners(directory, queue)) {
      if (isOwnerAlive(owner)) continue
      this.#begin(recoverSpool(directory, queue, owner, thisOwner(), PORTION), owner)
      if (this.#current !== null) return
    }
  }

  /** Reads the next portion, if a spool is being read and there is space. Never throws. */
  readMore(): boolean {
    if (this.#current === null || !this.#hasRoom) return false
    void this.#readPortion(this.#current)
    return true
  }

  settle(source: RecoveryReader, places: readonly Place[]): void {
    source.settle(places)
    const spool = this.#spools.get(source)
    if (spool === undefined) return
    spool.open -= places.length
    this.#finishIfDone(spool)
  }

  /** Leaves what is not settled to another process. */
  close(): void {
    this.#closed = true
    this.#current = null
    for (const { reader } of this.#spools.values()) reader.release()
    this.#spools.clear()
  }

  get #hasRoom(): boolean {
    return !this.#closed && this.#options.backlog.recovered < LOW
  }

  #begin(reader: RecoveryReader | null, owner: string): void {
    if (reader === null) return
    const spool: OrphanedSpool = {
      reader,
      owner,
      crashes: this.#options.markers.takeCrashes(owner),
      open: 0,
      unreported: 0,
      reportedDamages: 0,
      retryAt: Number.POSITIVE_INFINITY,
    }
    this.#spools.set(reader, spool)
    this.#current = spool
    this.#accept(spool, reader.items)
    // Without this a small spool would not be read to its end: nothing would ask for more.
    void this.#readPortion(spool)
  }

  #retry(spool: OrphanedSpool): void {
    spool.retryAt = Number.POSITIVE_INFINITY
    spool.reader.retry()
    this.#current = spool
    void this.#readPortion(spool)
  }

  async #readPortion(spool: OrphanedSpool): Promise<void> {
    if (this.#isReading) return
    this.#isReading = true
    const reading = spool.reader.more()
    await withTimeout(`recovery of queue ${this.#options.queue}`, READ_TIMEOUT, () => reading, { parent: null }).catch(
      () => void this.emit('items', [], false),
    )
    const items = await reading
    this.#isReading = false
    if (this.#closed) return
    if (items.length > 0) {
      this.#accept(spool, items)
      return
    }
    this.#current = null
    this.#reportDamages(spool)
    this.#reportRecovered(spool)
    this.emit('items', [], false)
    this.#finishIfDone(spool)
    this.check()
  }

  #accept(spool: OrphanedSpool, found: readonly RecoveredItem[]): void {
    const { reader, crashes } = spool
    const [now, wall] = [monotonicNow(), wallClock().getTime()]
    // Items that were in memory while the disk was full are written behind younger ones.
    const ordered = [...found].sort((one, other) => (one.id < other.id ? -1 : one.id > other.id ? 1 : 0))
    const items = ordered.map(({ id, json, place }) => {
      const age = Math.max(0, wall - ulidTime(id))
      const item = new QueueItem(splitId(id), json, Buffer.byteLength(json), now - age, reader, crashes.get(id))
      item.setPlace(place)
      return item
    })
    spool.open += items.length
    spool.unreported += items.length
    this.recovered += items.length
    this.#reportDamages(spool)
    this.emit('items', items, true)
  }

  /** Everything was read and settled. */
  #finishIfDone(spool: OrphanedSpool): void {
    if (spool.open > 0 || spool === this.#current) return
    if (spool.reader.finish()) this.#spools.delete(spool.reader)
    else spool.retryAt = monotonicNow() + RETRY_AFTER
  }

  #reportRecovered(spool: OrphanedSpool): void {
    const { unreported: items, owner } = spool
    if (items === 0) return
    const from = owner === 'this process' ? 'an earlier queue of this process' : `${owner}, which exited`
    this.#options.events.emit('adopted', `took over ${formatItems(items)} of ${from}`, { items, owner })
    spool.unreported = 0
  }

  #reportDamages(spool: OrphanedSpool): void {
    for (const { message, ...details } of spool.reader.damaged.slice(spool.reportedDamages)) {
      this.#options.events.emit('damaged', formatError(message), details)
    }
    spool.reportedDamages = spool.reader.damaged.length
  }
}
