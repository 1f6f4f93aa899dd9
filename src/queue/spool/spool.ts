import { EventEmitter } from 'node:events'
import { fdatasyncSync, rmdirSync } from 'node:fs'
import { rmdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { asMicrotask, type Cancel, every, monotonicNow, wallClock } from '../../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../../resilience/duration.ts'
import { waitAtMost } from '../../resilience/wait-at-most.ts'
import { makeDirectorySync } from '../../system/make-directory.ts'
import { type DiskFault, diskFault, SlowWrites } from './disk-fault.ts'
import { DiskProbe } from './disk-probe.ts'
import { inFileQueue } from './file-io.ts'
import { GroupCommit } from './group-commit.ts'
import { NextSegment, OpenSegments } from './open-segments.ts'
import { setEarlierSegmentsAside } from './owner.ts'
import { type Place, type PlaceSlot, payloadOf, type Segment } from './segment.ts'
import { FileRemover, goneError, SegmentFactory } from './segment-files.ts'
import { encodeHeader, ITEM_OVERHEAD, RecordBuffer, type SplitId } from './segment-format.ts'

export interface SpoolOptions {
  /** `<stateDir>/spool`; the spool's own files are in `<directory>/<queue>/<owner>`. */
  readonly directory: string
  /** Must be usable as the name of a directory. */
  readonly queue: string
  /** `thisOwner()`. */
  readonly owner: string
  /** What an item survives: the death of the process, or `syncEvery` later a loss of power. */
  readonly durability: 'process' | 'disk'
  /** How long items gather before they are synced together. Only for `disk`. */
  readonly syncEvery: Milliseconds
  /** The size at which the next segment begins. Default 1 MiB. */
  readonly segmentBytes?: number
  /** Limit for unsettled items. The files take up to twice as much, plus two segments. */
  readonly maxBytes: number
}

export type SpoolState =
  | { readonly state: 'ok' }
  /**
   * `reason` is an error code of the file system (`ENOSPC`), `slow`, `files-full` (the files have
   * reached twice `maxBytes`) or `unknown`; `why` is the same as a clause: "no space left on /…".
   */
  | { readonly state: 'degraded'; readonly reason: string; readonly why: string }

interface SpoolEvents {
  /** Emitted in a microtask after each change, also if the spool starts degraded. */
  state: [state: SpoolState]
}

const SEGMENT_BYTES = 1024 * 1024
/** Without a next segment, the active one grows to this multiple of its size. */
const MAX_OVERGROWTH = 4
/** The next segment is created when the active one is full to this share. */
const PREPARE_FROM = 1 / 4
const CLOSE_TIMEOUT = ms(5_000)
const CHECK_INTERVAL = ms(1_000)
/** Checks between touches of the directory, which show other machines that this process runs. */
const TOUCH_EVERY = 5
/** Share that must be free again after the files were full, so that the state is stable. */
const FREE_AGAIN = 1 / 4
const FILES_FULL: DiskFault = {
  kind: 'files-full',
  why: 'its files have reached twice maxBytes, because of items that are being retried',
}
const OK: SpoolState = { state: 'ok' }

/** One for all spools of the process: a record is written before the next is encoded. */
const record = new RecordBuffer()

/**
 * The write-ahead log of one queue of one process. Its items survive SIGKILL. It never throws and
 * never waits for a disk: when the disk fails or is slow, the spool degrades. It then writes
 * nothing, and probes the disk in the background until it works again.
 */
export class Spool extends EventEmitter<SpoolEvents> {
  readonly #options: SpoolOptions
  /** `<directory>/<queue>/<owner>`. */
  readonly #home: string
  readonly #segmentBytes: number
  readonly #slow = new SlowWrites()
  readonly #remover = new FileRemover()
  readonly #segments: OpenSegments
  readonly #next: NextSegment
  readonly #probe: DiskProbe
  readonly #commit: GroupCommit | null
  readonly #stopChecks: Cancel
  /** The segment that is appended to; null when degraded or closed. */
  #active: Segment | null = null
  /** Why the spool is degraded. With `files-full` it still has an active segment. */
  #fault: DiskFault | null = null
  #state: SpoolState = OK
  #closed = false
  #checking: Promise<void> | null = null
  #checks = 0

  /**
   * Opens the log of one queue of this process. A bad disk does not make it throw: it starts
   * degraded. The items of an earlier spool of the same owner are moved to where `recoverSpool`
   * finds it.
   */
  constructor(options: SpoolOptions) {
    super()
    const { directory, queue, owner, durability, syncEvery, segmentBytes = SEGMENT_BYTES } = options
    const home = join(directory, queue, owner)
    const header = encodeHeader({ queue, owner, created: wallClock().toISOString() })
    let fault: DiskFault | null = null
    let lastNumber = 0
    try {
      makeDirectorySync(home)
      lastNumber = setEarlierSegmentsAside(home)
    } catch (error) {
      fault = diskFault(error, home)
    }
    const factory = new SegmentFactory(home, header, segmentBytes, lastNumber)
    const remover = this.#remover
    const commit = durability === 'disk' ? new GroupCommit(syncEvery) : null
    const segments = new OpenSegments(remover, commit)
    const probe = new DiskProbe({ directory: home, factory, segments, remover })
    this.#options = options
    this.#home = home
    this.#segmentBytes = segmentBytes
    this.#commit = commit
    this.#segments = segments
    this.#next = new NextSegment(home, factory, remover)
    this.#probe = probe
    commit?.on('fault', (error) => this.#degrade(diskFault(error, home)))
    probe.on('success', (segment) => this.#recover(segment))
    probe.on('fault', (next) => this.#setFault(next))
    this.#stopChecks = every(CHECK_INTERVAL, () => {
      this.#checking ??= inFileQueue(() => this.#check()).finally(() => {
        this.#checking = null
      })
    })
    try {
      if (fault === null) this.#activate(factory.createSync())
    } catch (error) {
      fault = diskFault(error, home)
    }
    if (fault !== null) {
      this.#setFault(fault)
      probe.start()
    }
  }

  get state(): SpoolState {
    return this.#state
  }

  /** Size of its files. */
  get bytes(): number {
    return this.#segments.bytes
  }

  /**
   * Writes an item, in microseconds. Null: it is not on disk (the spool is degraded or closed, or
   * the item exceeds `maxBytes` or 64 MiB), and the caller has the only copy.
   *
   * @param id 26 characters
   * @param begun `monotonicNow()`, if the caller has just read it
   * @param into is filled in and returned; default a new object
   */
  append(
    id: string | SplitId,
    json: string,
    begun: Milliseconds = monotonicNow(),
    into: PlaceSlot = { segment: 0, index: 0, size: 0 },
  ): Place | null {
    const segment = this.#active
    if (segment === null) return null
    const segments = this.#segments
    const length = record.item(id, json)
    if (length === 0 || segments.payload + length - ITEM_OVERHEAD > this.#options.maxBytes) return null
    if (segments.bytes + length > this.#maxFileBytes) {
      this.#freeSpace(segment)
      return null
    }
    let place: Place
    try {
      place = segment.append(record, length, into)
    } catch (error) {
      this.#degrade(diskFault(error, this.#home))
      return null
    }
    segments.payload += length - ITEM_OVERHEAD
    segments.bytes += length
    this.#commit?.onAppend(segment)
    this.#checkDuration(monotonicNow() - begun)
    if (segment.size >= this.#segmentBytes * PREPARE_FROM) this.#advance(segment)
    return place
  }

  /**
   * These items were handled, dead-lettered or dropped, and must not come back. A crash repeats
   * those that were settled while the spool was degraded.
   */
  settle(places: readonly Place[]): void {
    if (this.#closed) return
    let segment: Segment | undefined
    for (const place of places) {
      if (segment?.number !== place.segment) {
        if (segment !== undefined) this.#afterSettling(segment)
        segment = this.#segments.get(place.segment)
      }
      if (segment?.settle(place) === true) this.#segments.payload -= payloadOf(place)
    }
    if (segment !== undefined) this.#afterSettling(segment)
  }

  /**
   * With `durability: 'disk'`: resolves when what was appended so far, and is not settled, is
   * synced; otherwise at once. It waits for a disk that hangs until `close` has ended.
   *
   * @throws PunctualError (rejects, `PUNCTUAL_QUEUE_NOT_SYNCED`) while items remain that the disk
   * refused, or that were not synced when the spool was closed
   */
  synced(): Promise<void> {
    return this.#commit?.synced() ?? Promise.resolve()
  }

  /** Leaves what is not settled to be recovered. Takes at most five seconds, with any disk. */
  async close(): Promise<void> {
    if (this.#closed) return
    const isWritable = this.#active !== null
    this.#stop()
    await waitAtMost(CLOSE_TIMEOUT, this.#finish(isWritable))
    this.#commit?.abandon()
    for (const segment of this.#segments) segment.close()
  }

  /** The same, synchronously, when the process exits. */
  closeSync(): void {
    if (this.#closed) return
    const isWritable = this.#active !== null
    this.#stop()
    for (const segment of this.#segments) {
      if (segment.live === 0) this.#segments.remove(segment)
      else {
        if (isWritable) this.#syncLast(segment)
        segment.close()
      }
    }
    this.#commit?.abandon()
    this.#remover.sweepSync()
    try {
      rmdirSync(this.#home)
    } catch {
      // It is not empty: items are left to be recovered.
    }
  }

  #activate(segment: Segment): void {
    this.#segments.add(segment)
    this.#active = segment
  }

  get #maxFileBytes(): number {
    return 2 * (this.#options.maxBytes + this.#segmentBytes)
  }

  /** A single item that is not settled keeps its whole segment. */
  #freeSpace(segment: Segment): void {
    this.#setFault(FILES_FULL)
    // The active segment may be what takes the space.
    if (segment.live > 0) return
    const next = this.#next.take()
    if (next === null) return this.#next.prepare()
    this.#activate(next)
    this.#remove(segment)
  }

  /** Prepares the next segment, and switches to it when the active one is full. */
  #advance(segment: Segment): void {
    if (segment !== this.#active) return
    if (segment.size < this.#segmentBytes) return this.#next.prepare()
    const next = this.#next.take()
    if (next !== null) {
      this.#activate(next)
      if (segment.live === 0) this.#remove(segment)
      return
    }
    this.#next.prepare()
    // It waits for one that is merely late: the caller may be blocking the event loop.
    const { fault } = this.#next
    if (fault !== null && segment.size >= this.#segmentBytes * MAX_OVERGROWTH) this.#degrade(fault)
  }

  #afterSettling(segment: Segment): void {
    // In a degraded spool it is written later.
    if (this.#active !== null && segment.hasUnwritten) {
      const begun = monotonicNow()
      if (this.#writeSettled(segment)) this.#checkDuration(monotonicNow() - begun)
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
      this.#segments.bytes += segment.size - before
    }
  }

  #checkDuration(took: number): void {
    if (this.#slow.isDiskSlow(took))
      this.#degrade({ kind: 'slow', why: `a write to ${this.#home} took ${formatElapsed(took)}` })
  }

  #remove(segment: Segment): void {
    this.#segments.remove(segment)
    const hasSpace = this.#segments.bytes <= this.#maxFileBytes * (1 - FREE_AGAIN)
    if (hasSpace && this.#active !== null && this.#fault === FILES_FULL) this.#setFault(null)
  }

  #degrade(fault: DiskFault): void {
    const segment = this.#active
    if (segment === null) return
    this.#active = null
    if (segment.live === 0) this.#remove(segment)
    this.#next.drop()
    this.#setFault(fault)
    this.#probe.start()
  }

  #recover(segment: Segment): void {
    this.#activate(segment)
    this.#setFault(null)
    for (const other of this.#segments) {
      if (this.#active !== null && other.hasUnwritten) this.#writeSettled(other)
    }
  }

  /** The only place that changes `state`. Another fault of the same kind changes nothing. */
  #setFault(fault: DiskFault | null): void {
    if (this.#closed || this.#fault?.kind === fault?.kind) return
    this.#fault = fault
    const state: SpoolState = fault === null ? OK : { state: 'degraded', reason: fault.kind, why: fault.why }
    this.#state = state
    asMicrotask(() => this.emit('state', state))
  }

  /** Runs once a second, whether or not anything is appended. */
  async #check(): Promise<void> {
    const segment = this.#active
    if (segment !== null) {
      // Items that are appended to a file without a name could not be found by anyone.
      const gone = await goneError(segment)
      if (gone !== null && this.#active === segment) this.#degrade(diskFault(gone, this.#home))
    }
    if (this.#checks++ % TOUCH_EVERY === 0) {
      const now = wallClock()
      await utimes(this.#home, now, now).catch(() => {})
    }
    void this.#remover.sweep()
  }

  #stop(): void {
    this.#closed = true
    this.#active = null
    this.#stopChecks()
    this.#next.drop()
  }

  async #finish(isWritable: boolean): Promise<void> {
    const probed = this.#probe.close()
    for (const segment of this.#segments) {
      if (segment.live === 0) this.#segments.remove(segment)
      else if (isWritable) this.#writeLastSettled(segment)
    }
    if (isWritable) await this.#commit?.close()
    await this.#next.idle()
    await probed
    await this.#remover.sweep()
    await rmdir(this.#home).catch(() => {})
  }

  #syncLast(segment: Segment): void {
    this.#writeLastSettled(segment)
    try {
      if (this.#commit?.isUnsynced(segment)) fdatasyncSync(segment.fd)
    } catch {
      // The process exits: there is no one to report it to.
    }
  }

  #writeLastSettled(segment: Segment): void {
    if (!segment.hasUnwritten) return
    try {
      segment.writeSettled(record)
    } catch {
      // Settled items may be recovered once more.
    }
  }
}
