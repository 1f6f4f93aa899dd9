import { fdatasyncSync, rmdirSync } from 'node:fs'
import { rmdir, stat } from 'node:fs/promises'
import { after, monotonicNow } from '../../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../../resilience/duration.ts'
import { type DiskFault, diskFault } from './disk-fault.ts'
import { DiskTrial } from './disk-trial.ts'
import { GroupCommit } from './group-commit.ts'
import { Removals } from './removals.ts'
import { payloadOf, type Segment } from './segment.ts'
import { SegmentAhead } from './segment-ahead.ts'
import { createSegment, restoreSegment } from './segment-files.ts'
import { ITEM_OVERHEAD, RecordBuffer } from './segment-format.ts'
import { SlowWrites } from './slow-writes.ts'
import type { OwnPlace, Place, SplitId, Spool, SpoolOptions, SpoolState } from './spool-interface.ts'
import { Upkeep } from './upkeep.ts'

const SEGMENT_BYTES = 1024 * 1024
/** Where the next segment cannot be made, the present one grows to so many times its size before the spool counts as degraded. */
const MOST_OVERGROWN = 4
/** The next segment is made when the present one is full to this share: in time for it, and not for a queue that gets little. */
const AHEAD_FROM = 1 / 4
const CLOSE_LIMIT = ms(5_000)
/** When the files have filled their space this much must be free again, as a share of it, or it would be told of each segment. */
const FREE_AGAIN = 1 / 4
const FILES_FULL: DiskFault = {
  kind: 'files-full',
  why: 'its files have reached twice maxBytes, held by items that are tried again',
}
const OK: SpoolState = { state: 'ok' }

/** One for all spools of a process: a record is written before the next is made. */
const record = new RecordBuffer()

export class SpoolWriter implements Spool {
  readonly #options: SpoolOptions
  /** `<directory>/<queue>/<owner>`. */
  readonly #home: string
  readonly #segmentBytes: number
  readonly #segments = new Map<number, Segment>()
  readonly #slow = new SlowWrites()
  readonly #removals = new Removals()
  readonly #ahead: SegmentAhead
  readonly #trial: DiskTrial
  readonly #upkeep: Upkeep
  readonly #commit: GroupCommit | null
  /** The one that is appended to; null when degraded or closed. */
  #active: Segment | null = null
  /** Whose descriptor is in use in the background. */
  #restoring: Segment | null = null
  #lastNumber: number
  /** JSON of items that are not settled. */
  #live = 0
  #bytes = 0
  #state: SpoolState = OK
  #fault: DiskFault | null = null
  #closed = false

  /**
   * @param fault why the directory cannot be used, if that is known already
   * @param lastNumber of the segments that stand in it
   */
  constructor(options: SpoolOptions, home: string, header: Buffer, lastNumber: number, fault: DiskFault | null) {
    this.#options = options
    this.#home = home
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES
    this.#lastNumber = lastNumber
    const discard = (segment: Segment): void => this.#remove(segment)
    const nextNumber = (): number => ++this.#lastNumber
    this.#ahead = new SegmentAhead({ directory: home, header, size: this.#segmentBytes, nextNumber, discard })
    this.#trial = new DiskTrial({
      directory: home,
      header,
      nextNumber,
      prepare: () => this.#restoreGone(),
      onSuccess: (segment) => this.#recover(segment),
      onFault: (next) => this.#tell(next),
      discard,
    })
    this.#commit =
      options.durability === 'disk'
        ? new GroupCommit(options.syncEvery, (error) => this.#degrade(diskFault(error, home)))
        : null
    this.#upkeep = new Upkeep({
      directory: home,
      present: () => this.#active,
      onGone: (error) => this.#degrade(diskFault(error, home)),
      sweep: () => this.#removals.sweep(),
    })
    try {
      if (fault === null) this.#begin(createSegment(home, nextNumber(), header))
    } catch (error) {
      fault = diskFault(error, home)
    }
    if (fault !== null) {
      this.#tell(fault)
      this.#trial.begin()
    }
  }

  get state(): SpoolState {
    return this.#state
  }

  get bytes(): number {
    return this.#bytes
  }

  append(
    id: string | SplitId,
    json: string,
    begun: Milliseconds = monotonicNow(),
    into: OwnPlace = { segment: 0, index: 0, size: 0 },
  ): Place | null {
    const segment = this.#active
    if (segment === null) return null
    const length = record.item(id, json)
    if (length === 0 || this.#live + length - ITEM_OVERHEAD > this.#options.maxBytes) return null
    if (this.#bytes + length > this.#mostBytes) {
      this.#makeRoom(segment)
      return null
    }
    let place: Place
    try {
      place = segment.append(record, length, into)
    } catch (error) {
      this.#degrade(diskFault(error, this.#home))
      return null
    }
    this.#live += length - ITEM_OVERHEAD
    this.#bytes += length
    this.#commit?.appended(segment)
    this.#took(monotonicNow() - begun)
    if (segment.size >= this.#segmentBytes * AHEAD_FROM) this.#lookAhead(segment)
    return place
  }

  settle(places: readonly Place[]): void {
    if (this.#closed) return
    let segment: Segment | undefined
    for (const place of places) {
      if (segment?.number !== place.segment) {
        if (segment !== undefined) this.#afterSettling(segment)
        segment = this.#segments.get(place.segment)
      }
      if (segment?.settle(place) === true) this.#live -= payloadOf(place)
    }
    if (segment !== undefined) this.#afterSettling(segment)
  }

  synced(): Promise<void> {
    return this.#commit?.synced() ?? Promise.resolve()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    const works = this.#active !== null
    this.#stop()
    await new Promise<void>((resolve) => {
      const cancel = after(CLOSE_LIMIT, resolve)
      this.#leave(works).then(() => {
        cancel()
        resolve()
      })
    })
    this.#commit?.abandon()
    for (const segment of this.#segments.values()) segment.close()
  }

  closeSync(): void {
    if (this.#closed) return
    const works = this.#active !== null
    this.#stop()
    for (const segment of this.#segments.values()) {
      if (segment.live === 0) this.#remove(segment)
      else {
        if (works) this.#lastWrites(segment)
        segment.close()
      }
    }
    this.#commit?.abandon()
    this.#removals.sweepSync()
    try {
      rmdirSync(this.#home)
    } catch {
      // Something is left in it for the next.
    }
  }

  #begin(segment: Segment): void {
    this.#segments.set(segment.number, segment)
    this.#bytes += segment.size
    this.#active = segment
  }

  get #mostBytes(): number {
    return 2 * (this.#options.maxBytes + this.#segmentBytes)
  }

  /** A single item that is not settled holds its whole segment. */
  #makeRoom(segment: Segment): void {
    this.#tell(FILES_FULL)
    // The present one may be what takes the room.
    if (segment.live > 0) return
    const next = this.#ahead.take()
    if (next === null) return this.#ahead.prepare()
    this.#begin(next)
    this.#remove(segment)
  }

  #lookAhead(segment: Segment): void {
    if (segment !== this.#active) return
    if (segment.size < this.#segmentBytes) return this.#ahead.prepare()
    const next = this.#ahead.take()
    if (next !== null) {
      this.#begin(next)
      if (segment.live === 0) this.#remove(segment)
      return
    }
    this.#ahead.prepare()
    // One that is merely late is waited for, however long: the caller may not have let the event loop turn.
    const { fault } = this.#ahead
    if (fault !== null && segment.size >= this.#segmentBytes * MOST_OVERGROWN) this.#degrade(fault)
  }

  #afterSettling(segment: Segment): void {
    // When degraded it is kept in memory and written later.
    if (this.#active !== null && segment.hasUnwritten) {
      const begun = monotonicNow()
      if (this.#writeSettled(segment)) this.#took(monotonicNow() - begun)
    }
    if (segment.live === 0 && segment !== this.#active) this.#remove(segment)
  }

  #writeSettled(segment: Segment): boolean {
    const before = segment.size
    try {
      segment.writeSettled(record)
      return true
    } catch (error) {
      this.#degrade(diskFault(error, this.#home))
      return false
    } finally {
      this.#bytes += segment.size - before
    }
  }

  #took(took: number): void {
    if (this.#slow.tooSlow(took))
      this.#degrade({ kind: 'slow', why: `a write to ${this.#home} took ${formatElapsed(took)}` })
  }

  #remove(segment: Segment): void {
    if (segment === this.#restoring) return
    if (this.#segments.delete(segment.number)) this.#bytes -= segment.size
    this.#commit?.forget(segment)
    segment.close()
    this.#removals.add(segment.path)
    const isRoomy = this.#bytes <= this.#mostBytes * (1 - FREE_AGAIN)
    if (isRoomy && this.#active !== null && this.#fault === FILES_FULL) this.#tell(null)
  }

  #degrade(fault: DiskFault): void {
    const segment = this.#active
    if (segment === null) return
    this.#active = null
    if (segment.live === 0) this.#remove(segment)
    this.#ahead.drop()
    this.#tell(fault)
    this.#trial.begin()
  }

  /** The log has a line for each fault, not for each trial. */
  #tell(fault: DiskFault | null): void {
    if (this.#closed || this.#fault?.kind === fault?.kind) return
    this.#fault = fault
    const state: SpoolState = fault === null ? OK : { state: 'degraded', reason: fault.kind, why: fault.why }
    this.#state = state
    queueMicrotask(() => this.#options.onState(state))
  }

  async #restoreGone(): Promise<void> {
    for (const segment of this.#segments.values()) {
      const found = await stat(segment.path, { bigint: true }).catch(() => null)
      if (segment.fd === -1 || (found !== null && segment.is(found))) continue
      this.#restoring = segment
      try {
        if (await restoreSegment(segment)) this.#commit?.copied(segment)
        else this.#forget(segment)
      } finally {
        this.#restoring = null
        if (segment.live === 0) this.#remove(segment)
      }
    }
  }

  /** Its content cannot be had any more, and so not be synced either: only the caller has what is in it. */
  #forget(segment: Segment): void {
    this.#segments.delete(segment.number)
    this.#commit?.forget(segment)
    this.#bytes -= segment.size
    this.#live -= segment.livePayload
    segment.close()
  }

  #recover(segment: Segment): void {
    this.#begin(segment)
    this.#tell(null)
    for (const other of this.#segments.values()) {
      if (this.#active !== null && other.hasUnwritten) this.#writeSettled(other)
    }
  }

  #stop(): void {
    this.#closed = true
    this.#active = null
    this.#upkeep.close()
    this.#ahead.drop()
  }

  async #leave(works: boolean): Promise<void> {
    const triedOut = this.#trial.close()
    for (const segment of this.#segments.values()) {
      if (segment.live === 0) this.#remove(segment)
      else if (works) this.#noteSettled(segment)
    }
    if (works) await this.#commit?.close()
    await this.#ahead.idle()
    await triedOut
    await this.#removals.sweep()
    await rmdir(this.#home).catch(() => {})
  }

  #lastWrites(segment: Segment): void {
    this.#noteSettled(segment)
    try {
      if (this.#commit?.isUnsynced(segment)) fdatasyncSync(segment.fd)
    } catch {
      // Nobody is left to tell.
    }
  }

  #noteSettled(segment: Segment): void {
    if (!segment.hasUnwritten) return
    try {
      segment.writeSettled(record)
    } catch {
      // Nobody is left to tell; what is settled may come again.
    }
  }
}
