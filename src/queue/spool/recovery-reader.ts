import { basename, join } from 'node:path'
import { monotonicNow } from '../../resilience/clock.ts'
import { SerialQueue } from '../../resilience/serial-queue.ts'
import { SlowWrites } from './disk-fault.ts'
import { type ReadSteps, runSteps, runStepsSync } from './file-io.ts'
import { giveUp, removeIfEmpty, takenOverBy, takeOver } from './owner.ts'
import {
  asideDirectory,
  type Damage,
  type OrphanedFile,
  recoverSegment,
  setSpoiltFileAside,
} from './recover-segment.ts'
import type { Place, Segment } from './segment.ts'
import { FileRemover, segmentsIn } from './segment-files.ts'
import { RecordBuffer } from './segment-format.ts'
import { readItems, type SegmentScan } from './segment-scan.ts'

/** An item of an orphaned spool. */
export interface RecoveredItem {
  readonly id: string
  readonly json: string
  readonly place: Place
}

/** Limits of a portion, which has at least one item if there is any. Default: unlimited. */
export interface PortionLimits {
  readonly items?: number
  readonly bytes?: number
}

/** Directories that readers of this process are reading. */
const inUse = new Set<string>()

/**
 * Takes over the spool of an owner, including what that had taken over itself. It is one rename: if
 * several processes try, one succeeds, and after a crash the files are below one owner or the
 * other. With `owner` the same as `by`: what is below it and not in use, such as an earlier spool
 * of this process. Never throws.
 *
 * @param by the new owner: `thisOwner()`
 * @returns null when another process was faster, there is nothing, or the owner is on another
 * machine and has touched its directory within 15 seconds
 */
export function recoverSpool(
  directory: string,
  queue: string,
  owner: string,
  by: string,
  limits: PortionLimits = {},
): RecoveryReader | null {
  const directories =
    owner === by
      ? takenOverBy(directory, queue, by).filter((path) => !inUse.has(path))
      : takeOver(directory, queue, owner, by)
  if (directories.length === 0) {
    removeIfEmpty(join(directory, queue, by))
    return null
  }
  return new RecoveryReader({ directory, queue, directories, limits })
}

/** Milliseconds for which nothing is written after the disk has failed or was slow. */
const PAUSE_WRITES = 1_000

const record = new RecordBuffer()

interface ReaderOptions {
  readonly directory: string
  readonly queue: string
  /** The oldest first. */
  readonly directories: readonly string[]
  readonly limits: PortionLimits
}

interface SegmentPosition {
  readonly segment: Segment
  readonly scan: SegmentScan
  /** The index to continue from. */
  from: number
}

/**
 * Reads an orphaned spool, one file after the other, until its items are settled. It belongs to the
 * process that has taken it over; if that dies, it is recovered with that process's own items.
 */
export class RecoveryReader {
  /** The first portion, in the order in which each owner appended the items. */
  readonly items: readonly RecoveredItem[]
  /** What could not be read. `more` may add to it. */
  readonly damaged: Damage[] = []
  readonly #options: ReaderOptions
  /** Not opened yet, the next one last. */
  readonly #files: OrphanedFile[]
  /** Open, with items that are not settled. */
  readonly #segments = new Map<number, Segment>()
  readonly #spoilt = new Map<Segment, OrphanedFile>()
  /** Spoilt files whose items are all settled, and that could not be moved. */
  #unmoved: OrphanedFile[] = []
  /** Files that could be neither read nor moved. */
  #unreadable: OrphanedFile[] = []
  /** Messages of `damaged`. */
  readonly #noted = new Set<string>()
  readonly #remover = new FileRemover()
  readonly #slow = new SlowWrites()
  /** Portions are read one after the other: two at once would read the same items. */
  readonly #portions = new SerialQueue()
  #position: SegmentPosition | null = null
  #noWritesUntil = 0
  #released = false

  constructor(options: ReaderOptions) {
    this.#options = options
    const { directory, queue, directories } = options
    for (const taken of directories) inUse.add(taken)
    const aside = asideDirectory(directory, queue)
    this.#files = directories
      .flatMap((taken) => segmentsIn(taken).map((name) => ({ path: join(taken, name), owner: basename(taken), aside })))
      .map((file, number) => ({ ...file, number }))
      .reverse()
    this.items = runStepsSync(this.#readPortion())
  }

  /** Reads the next portion in the background; empty at the end. Never rejects. */
  more(): Promise<readonly RecoveredItem[]> {
    return this.#portions.run(() => runSteps(this.#readPortion()))
  }

  /** These items must not come back. Files whose items are all settled are removed. */
  settle(places: readonly Place[]): void {
    if (this.#released) return
    let segment: Segment | undefined
    for (const place of places) {
      if (segment?.number !== place.segment) {
        if (segment !== undefined) this.#afterSettling(segment)
        segment = this.#segments.get(place.segment)
      }
      segment?.settle(place)
    }
    if (segment !== undefined) this.#afterSettling(segment)
  }

  /**
   * Everything is settled: releases the directories.
   *
   * @returns false when files remain that can be neither read nor moved nor removed. They stay in
   * use: another process would have the same problem, and would handle their readable items again
   * each time.
   */
  finish(): boolean {
    this.#remover.sweepSync()
    // A segment that is still open has items that became unreadable after it was scanned.
    const left = this.#unreadable.length + this.#unmoved.length + this.#remover.size + this.#segments.size
    if (left > 0) return false
    this.release()
    return true
  }

  /** Tries again to read, move or remove what is left; `more` returns what can be read now. */
  retry(): void {
    this.#files.push(...this.#unreadable.reverse())
    this.#unreadable = []
    const unmoved = this.#unmoved
    this.#unmoved = []
    for (const file of unmoved) this.#moveSpoilt(file)
    this.#removeDirectories()
  }

  /** Gives up what is not settled: any process may take it over. */
  release(): void {
    if (this.#released) return
    this.#released = true
    const { directory, queue, directories } = this.#options
    for (const segment of this.#segments.values()) {
      this.#writeSettled(segment)
      segment.close()
    }
    this.#remover.sweepSync()
    for (const taken of directories) {
      removeIfEmpty(taken)
      giveUp(directory, queue, taken)
      inUse.delete(taken)
    }
  }

  *#readPortion(): ReadSteps<RecoveredItem[]> {
    const { items: max = Number.POSITIVE_INFINITY, bytes: maxBytes = Number.POSITIVE_INFINITY } = this.#options.limits
    const found: RecoveredItem[] = []
    let bytes = 0
    while (!this.#released && found.length < max && bytes < maxBytes) {
      this.#position ??= yield* this.#openNext()
      const position = this.#position
      if (position === null) break
      const { segment, scan, from } = position
      const { items, next } = yield* readItems(segment.fd, scan, from, max - found.length, maxBytes - bytes)
      for (const { id, json, index, size } of items) {
        bytes += size
        found.push({ id, json, place: { segment: segment.number, index, size } })
      }
      position.from = next
      if (next >= scan.items.length) this.#position = null
    }
    // After a release, another process may have taken the files over.
    return this.#released ? [] : found
  }

  *#openNext(): ReadSteps<SegmentPosition | null> {
    for (let file = this.#files.pop(); file !== undefined; file = this.#files.pop()) {
      const recovered = yield* recoverSegment(file)
      if (recovered.found === 'nothing') {
        this.#remover.add(file.path)
        continue
      }
      if (recovered.damage !== null) this.#note(recovered.damage)
      if (recovered.found === 'unreadable') this.#unreadable.push(file)
      if (recovered.found !== 'items') continue
      const { segment, scan, isSpoilt } = recovered
      if (isSpoilt) this.#spoilt.set(segment, file)
      if (this.#released) {
        segment.close()
        return null
      }
      this.#segments.set(segment.number, segment)
      if (segment.live > 0) return { segment, scan, from: 0 }
      this.#closeSegment(segment)
    }
    this.#removeDirectories()
    return null
  }

  #afterSettling(segment: Segment): void {
    this.#writeSettled(segment)
    if (segment.live === 0) this.#closeSegment(segment)
  }

  #writeSettled(segment: Segment): void {
    const begun = monotonicNow()
    // Behind a damaged tail it would be lost.
    if (!segment.hasUnwritten || this.#spoilt.has(segment) || begun < this.#noWritesUntil) return
    try {
      segment.writeSettled(record)
      if (!this.#slow.isDiskSlow(monotonicNow() - begun)) return
    } catch {
      // It is kept in memory. After a crash these items are handled once more.
    }
    this.#noWritesUntil = monotonicNow() + PAUSE_WRITES
  }

  /** All items of the segment are settled. */
  #closeSegment(segment: Segment): void {
    this.#segments.delete(segment.number)
    segment.close()
    const spoilt = this.#spoilt.get(segment)
    if (spoilt === undefined) this.#remover.add(segment.path)
    else {
      this.#spoilt.delete(segment)
      this.#moveSpoilt(spoilt)
    }
    if (this.#files.length === 0 && this.#segments.size === 0) this.#removeDirectories()
  }

  #moveSpoilt(file: OrphanedFile): void {
    const { path } = file
    try {
      const movedTo = setSpoiltFileAside(file)
      this.#note({ path, problem: 'damaged-tail', movedTo, message: `moved ${path} to ${movedTo}` })
    } catch {
      // It stays below this owner. A process that recovers it handles its items again.
      this.#unmoved.push(file)
    }
  }

  /** Adds a damage once, however often the file is retried. */
  #note(damage: Damage): void {
    if (this.#noted.has(damage.message)) return
    this.#noted.add(damage.message)
    this.damaged.push(damage)
  }

  #removeDirectories(): void {
    if (this.#segments.size > 0) return
    void this.#remover.sweep().then(() => {
      if (this.#released) return
      for (const taken of this.#options.directories) removeIfEmpty(taken)
    })
  }
}
