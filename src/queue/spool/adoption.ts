import { basename, join } from 'node:path'
import { monotonicNow } from '../../resilience/clock.ts'
import type { Adopted, AdoptLimits, Damage, Leftover } from './adopted.ts'
import { type AdoptedFile, openAdopted } from './open-adopted.ts'
import { giveUp, removeIfEmpty } from './owner-directories.ts'
import { runSteps, runStepsLater } from './read-steps.ts'
import { Removals } from './removals.ts'
import type { Segment } from './segment.ts'
import { segmentsIn } from './segment-files.ts'
import { RecordBuffer } from './segment-format.ts'
import { type ReadSteps, readItems, type SegmentScan } from './segment-scan.ts'
import { asideDirectory, damagedName, setFileAside } from './set-aside.ts'
import { SlowWrites } from './slow-writes.ts'
import type { Place } from './spool-interface.ts'

/** Milliseconds for which nothing is written after the disk has failed or was slow; what is settled is kept in memory meanwhile. */
const LEAVE_ALONE = 1_000

const record = new RecordBuffer()

export interface AdoptionOptions {
  readonly directory: string
  readonly queue: string
  /** The oldest first. */
  readonly directories: readonly string[]
  /** Where they are noted for as long as this lasts. */
  readonly inHand: Set<string>
  readonly limits: AdoptLimits
}

interface Reading {
  readonly segment: Segment
  readonly scan: SegmentScan
  /** The index to go on from. */
  from: number
}

/** Directories that were taken over, read one file after the other. */
export class Adoption implements Adopted {
  readonly items: readonly Leftover[]
  readonly damaged: Damage[] = []
  readonly #options: AdoptionOptions
  /** Not yet opened. */
  readonly #files: AdoptedFile[]
  /** Opened, with items that are not settled. */
  readonly #segments = new Map<number, Segment>()
  readonly #spoilt = new Map<Segment, AdoptedFile>()
  /** Spoilt ones whose items are all settled, and which could not be moved. */
  #unmoved: AdoptedFile[] = []
  /** Files that could be neither read nor moved. */
  #unreadable: AdoptedFile[] = []
  readonly #noted = new Set<string>()
  readonly #removals = new Removals()
  readonly #slow = new SlowWrites()
  #reading: Reading | null = null
  #leftAloneUntil = 0
  #released = false
  #underWay: Promise<readonly Leftover[]> = Promise.resolve([])

  constructor(options: AdoptionOptions) {
    this.#options = options
    const { directory, queue, directories, inHand } = options
    for (const taken of directories) inHand.add(taken)
    const aside = asideDirectory(directory, queue)
    this.#files = directories
      .flatMap((taken) => segmentsIn(taken).map((name) => ({ path: join(taken, name), owner: basename(taken), aside })))
      .map((file, number) => ({ ...file, number }))
      .reverse()
    this.items = runSteps(this.#portion())
  }

  more(): Promise<readonly Leftover[]> {
    // One after the other, or two would read the same.
    this.#underWay = this.#underWay.then(() => runStepsLater(this.#portion()))
    return this.#underWay
  }

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

  finish(): boolean {
    this.#removals.sweepSync()
    // A segment that is still open has items that were whole when it was scanned, and could not be read since.
    const left = this.#unreadable.length + this.#unmoved.length + this.#removals.size + this.#segments.size
    if (left > 0) return false
    this.release()
    return true
  }

  retry(): void {
    this.#files.push(...this.#unreadable.reverse())
    this.#unreadable = []
    const unmoved = this.#unmoved
    this.#unmoved = []
    for (const file of unmoved) this.#moveSpoilt(file)
    this.#removeDirectories()
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    const { directory, queue, directories, inHand } = this.#options
    for (const segment of this.#segments.values()) {
      this.#writeSettled(segment)
      segment.close()
    }
    this.#removals.sweepSync()
    for (const taken of directories) {
      removeIfEmpty(taken)
      giveUp(directory, queue, taken)
      inHand.delete(taken)
    }
  }

  *#portion(): ReadSteps<Leftover[]> {
    const { items: most = Number.POSITIVE_INFINITY, bytes: mostBytes = Number.POSITIVE_INFINITY } = this.#options.limits
    const found: Leftover[] = []
    let bytes = 0
    while (!this.#released && found.length < most && bytes < mostBytes) {
      this.#reading ??= yield* this.#openNext()
      const reading = this.#reading
      if (reading === null) break
      const { segment, scan, from } = reading
      const { items, next } = yield* readItems(segment.fd, scan, from, most - found.length, mostBytes - bytes)
      for (const { id, json, index, size } of items) {
        bytes += size
        found.push({ id, json, place: { segment: segment.number, index, size } })
      }
      reading.from = next
      if (next >= scan.items.length) this.#reading = null
    }
    // Its files are somebody else's by now.
    return this.#released ? [] : found
  }

  *#openNext(): ReadSteps<Reading | null> {
    for (let file = this.#files.pop(); file !== undefined; file = this.#files.pop()) {
      const opened = yield* openAdopted(file, (damage) => this.#note(damage))
      if (opened.found === 'nothing') this.#removals.add(file.path)
      if (opened.found === 'unreadable') this.#unreadable.push(file)
      if (opened.found !== 'items') continue
      const { segment, scan, spoilt } = opened
      if (spoilt) this.#spoilt.set(segment, file)
      if (this.#released) {
        segment.close()
        return null
      }
      this.#segments.set(segment.number, segment)
      if (segment.live > 0) return { segment, scan, from: 0 }
      this.#finish(segment)
    }
    this.#removeDirectories()
    return null
  }

  #afterSettling(segment: Segment): void {
    this.#writeSettled(segment)
    if (segment.live === 0) this.#finish(segment)
  }

  #writeSettled(segment: Segment): void {
    const begun = monotonicNow()
    // Behind what could not be cut it would be lost.
    if (!segment.hasUnwritten || this.#spoilt.has(segment) || begun < this.#leftAloneUntil) return
    try {
      segment.writeSettled(record)
      if (!this.#slow.tooSlow(monotonicNow() - begun)) return
    } catch {
      // It stays in memory; at worst these are handled once more after a crash.
    }
    this.#leftAloneUntil = monotonicNow() + LEAVE_ALONE
  }

  #finish(segment: Segment): void {
    this.#segments.delete(segment.number)
    segment.close()
    const spoilt = this.#spoilt.get(segment)
    if (spoilt === undefined) this.#removals.add(segment.path)
    else {
      this.#spoilt.delete(segment)
      this.#moveSpoilt(spoilt)
    }
    if (this.#files.length === 0 && this.#segments.size === 0) this.#removeDirectories()
  }

  #moveSpoilt(file: AdoptedFile): void {
    const { path, owner, aside } = file
    try {
      const movedTo = setFileAside(aside, path, damagedName(owner, basename(path)))
      this.#note({ path, problem: 'damaged-tail', movedTo, message: `${path} is now ${movedTo}` })
    } catch {
      // It stays below this owner; whoever adopts that has its items handled again.
      this.#unmoved.push(file)
    }
  }

  /** Once, however often it is tried again. */
  #note(damage: Damage): void {
    if (this.#noted.has(damage.message)) return
    this.#noted.add(damage.message)
    this.damaged.push(damage)
  }

  #removeDirectories(): void {
    if (this.#segments.size > 0) return
    void this.#removals.sweep().then(() => {
      if (this.#released) return
      for (const taken of this.#options.directories) removeIfEmpty(taken)
    })
  }
}
