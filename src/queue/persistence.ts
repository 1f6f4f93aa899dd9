import { PunctualError } from '../errors/punctual-error.ts'
import { after, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import type { QueueItem } from './batch.ts'
import type { OrphanRecovery } from './orphan-recovery.ts'
import { formatItems, type QueueEvents } from './queue-events.ts'
import type { QueueSettings } from './queue-options.ts'
import { thisOwner } from './spool/owner.ts'
import type { RecoveryReader } from './spool/recovery-reader.ts'
import type { Place } from './spool/segment.ts'
import { Spool, type SpoolState } from './spool/spool.ts'

const SYNC_INTERVAL = ms(10)
/** Items written at a time once the disk works again: less than a millisecond or two of work. */
const WRITE_BATCH = 500

/** Writes the items of a queue to its spool, also those from memory once the disk works again. */
export class Persistence {
  /** Null for a queue that is kept in memory. */
  readonly spool: Spool | null
  readonly pending: PendingItems
  /** Why items are kept in memory only; null while they are not. */
  degraded: string | null = null
  readonly #settings: QueueSettings
  readonly #events: QueueEvents

  /** @param directory `<stateDir>/spool` */
  constructor(settings: QueueSettings, directory: string, recovery: OrphanRecovery, events: QueueEvents) {
    const { name, durability, maxBytes } = settings
    this.#settings = settings
    this.#events = events
    this.spool =
      durability === 'memory'
        ? null
        : new Spool({
            directory,
            queue: name,
            owner: thisOwner(),
            durability,
            syncEvery: SYNC_INTERVAL,
            maxBytes,
          })
    this.pending = new PendingItems(this.spool, recovery)
    this.spool?.on('state', (state) => this.#onState(state))
  }

  /**
   * Resolves when everything accepted so far would survive a loss of power; at once unless
   * `durability` is `disk`.
   *
   * @throws PunctualError (rejects, `PUNCTUAL_QUEUE_NOT_SYNCED`) when it would not
   * @throws WaitTimeoutError (rejects) when the disk has not answered within `timeout`
   */
  async synced(timeout: Milliseconds): Promise<void> {
    const { name, durability } = this.#settings
    const { spool } = this
    if (durability !== 'disk' || spool === null) return
    const { inMemory } = this.pending
    const { state } = spool
    if (state.state === 'degraded' || inMemory > 0) {
      const why = state.state === 'degraded' ? state.why : 'the disk did not take them'
      const reason = state.state === 'degraded' ? state.reason : 'not-written'
      throw new PunctualError(
        'PUNCTUAL_QUEUE_NOT_SYNCED',
        `queue ${name} is not synced: ${formatItems(inMemory)} in memory only: ${why}`,
        { details: { queue: name, inMemory, reason } },
      )
    }
    await withTimeout(`sync of queue ${name}`, timeout, () => spool.synced())
  }

  /**
   * Reports the items that are in memory only as lost: nothing more is handled.
   *
   * @returns how many there are
   */
  reportLost(): number {
    const lost = this.pending.inMemory
    if (lost === 0) return 0
    const why = this.spool === null ? 'its durability is memory' : 'the disk did not take them'
    this.#events.emit('lost', `${formatItems(lost)} lost at exit: ${why}`, { items: lost })
    return lost
  }

  #onState(state: SpoolState): void {
    if (state.state === 'degraded') {
      const wasDegraded = this.degraded !== null
      this.degraded = state.why
      if (wasDegraded) return
      const message = `${state.why}; items are kept in memory only and are lost if the process dies`
      this.#events.emit('degraded', message, { reason: state.reason })
    } else if (this.degraded !== null) {
      this.degraded = null
      const items = this.pending.inMemory
      const written = items === 0 ? '' : `, as do ${formatItems(items)} kept in memory`
      this.#events.emit('recovered', `items go to disk again${written}`, { items })
      this.#writeMore()
    }
  }

  /** A part at a time, so that requests are not delayed. */
  #writeMore(): void {
    if (this.degraded !== null || !this.pending.writeNext(WRITE_BATCH)) return
    after(ms(1), () => this.#writeMore(), { keepAlive: false })
  }
}

/** The unfinished items of a queue: how many there are, and where they are on disk. */
export class PendingItems {
  /** Items of this process. */
  items = 0
  /** Size of their JSON. */
  bytes = 0
  recoveredItems = 0
  recoveredBytes = 0
  /** Own items that are in memory only, the oldest first; null for a queue without a spool. */
  readonly #unwritten: Set<QueueItem> | null
  /** The position of `writeNext`. */
  #writing: Iterator<QueueItem> | null = null
  readonly #spool: Pick<Spool, 'append' | 'settle' | 'state'> | null
  readonly #recovery: OrphanRecovery | null

  constructor(spool: Pick<Spool, 'append' | 'settle' | 'state'> | null, recovery: OrphanRecovery | null) {
    this.#spool = spool
    this.#unwritten = spool === null ? null : new Set()
    this.#recovery = recovery
  }

  /** How many own items are in memory only. */
  get inMemory(): number {
    return this.#unwritten?.size ?? this.items
  }

  add(item: QueueItem): void {
    this.items++
    this.bytes += item.bytes
    if (!item.isOnDisk) this.#unwritten?.add(item)
  }

  addRecovered(items: readonly QueueItem[]): void {
    this.recoveredItems += items.length
    for (const { bytes } of items) this.recoveredBytes += bytes
  }

  /** These are delivered, dead-lettered or dropped, and must not come back. */
  settle(items: readonly QueueItem[]): void {
    const places: Place[] = []
    let recovered: Map<RecoveryReader, Place[]> | null = null
    for (const item of items) {
      const { bytes, source } = item
      if (source === null) {
        this.items--
        this.bytes -= bytes
        if (item.isOnDisk) places.push(item)
        else this.#unwritten?.delete(item)
      } else if (item.isOnDisk) {
        this.recoveredItems--
        this.recoveredBytes -= bytes
        recovered ??= new Map()
        const ofSource = recovered.get(source)
        if (ofSource === undefined) recovered.set(source, [item])
        else ofSource.push(item)
      }
    }
    if (places.length > 0) this.#spool?.settle(places)
    if (recovered !== null) for (const [source, settled] of recovered) this.#recovery?.settle(source, settled)
  }

  /**
   * Writes the next `max` items that are in memory only.
   *
   * @returns whether there may be more to write, and the disk takes them
   */
  writeNext(max: number): boolean {
    if (this.#unwritten === null || this.#spool === null) return false
    this.#writing ??= this.#unwritten.values()
    for (let tried = 0; tried < max; tried++) {
      const next = this.#writing.next()
      const item = next.done === true ? null : next.value
      if (item !== null) this.#spool.append(item, item.json, monotonicNow(), item)
      if (item?.isOnDisk) this.#unwritten.delete(item)
      // An item that is too large for the disk is skipped.
      else if (item === null || this.#spool.state.state === 'degraded') {
        this.#writing = null
        return false
      }
    }
    return true
  }
}
