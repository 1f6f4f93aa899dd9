import { stat } from 'node:fs/promises'
import { monotonicNow } from '../../resilience/clock.ts'
import { type DiskFault, diskFault } from './disk-fault.ts'
import { inFileQueue } from './file-io.ts'
import type { GroupCommit } from './group-commit.ts'
import type { Segment } from './segment.ts'
import { type FileRemover, restoreSegment, type SegmentFactory } from './segment-files.ts'

/** The segments of a spool that still have items, and the one that is appended to. */
export class OpenSegments implements Iterable<Segment> {
  /** Size of the files. */
  bytes = 0
  /** Size of the JSON of items that are not settled. */
  payload = 0
  readonly #segments = new Map<number, Segment>()
  readonly #remover: FileRemover
  readonly #commit: GroupCommit | null
  /** Its descriptor is in use in the background. */
  #restoring: Segment | null = null

  constructor(remover: FileRemover, commit: GroupCommit | null) {
    this.#remover = remover
    this.#commit = commit
  }

  get(number: number): Segment | undefined {
    return this.#segments.get(number)
  }

  [Symbol.iterator](): Iterator<Segment> {
    return this.#segments.values()
  }

  add(segment: Segment): void {
    this.#segments.set(segment.number, segment)
    this.bytes += segment.size
  }

  /** Closes a segment and removes its file. */
  remove(segment: Segment): void {
    if (segment === this.#restoring) return
    if (this.#segments.delete(segment.number)) this.bytes -= segment.size
    this.#commit?.forget(segment)
    segment.close()
    this.#remover.add(segment.path)
  }

  /**
   * Restores the files of segments that were removed or replaced.
   *
   * @throws the error of the file system when one cannot be written
   */
  async restoreGone(): Promise<void> {
    for (const segment of this.#segments.values()) {
      const found = await stat(segment.path, { bigint: true }).catch(() => null)
      if (segment.fd === -1 || (found !== null && segment.is(found))) continue
      this.#restoring = segment
      try {
        if (await restoreSegment(segment)) this.#commit?.onCopy(segment)
        else this.#forget(segment)
      } finally {
        this.#restoring = null
        if (segment.live === 0) this.remove(segment)
      }
    }
  }

  /** Its content cannot be read, and so not be synced either: only the caller has its items. */
  #forget(segment: Segment): void {
    this.#segments.delete(segment.number)
    this.#commit?.forget(segment)
    this.bytes -= segment.size
    this.payload -= segment.livePayload
    segment.close()
  }
}

/** Milliseconds between attempts to create a segment where that has failed. */
const RETRY_AFTER = 1_000

/** The segment after the active one, created in the background so that no push waits for it. */
export class NextSegment {
  /** Why the last attempt failed; null when it did not. */
  fault: DiskFault | null = null
  readonly #directory: string
  readonly #factory: SegmentFactory
  readonly #remover: FileRemover
  #ready: Segment | null = null
  #creating: Promise<void> | null = null
  #retryAt = 0
  /** Increases with every `drop`: a segment that was begun before it is discarded. */
  #epoch = 0

  constructor(directory: string, factory: SegmentFactory, remover: FileRemover) {
    this.#directory = directory
    this.#factory = factory
    this.#remover = remover
  }

  /** Creates it unless that is done, in progress or has just failed. */
  prepare(): void {
    if (this.#ready !== null || this.#creating !== null || monotonicNow() < this.#retryAt) return
    const epoch = this.#epoch
    this.#creating = inFileQueue(() => this.#factory.createReserved())
      .then(
        (segment) => {
          this.fault = null
          if (epoch === this.#epoch) this.#ready = segment
          else this.#discard(segment)
        },
        (error: unknown) => {
          this.fault = diskFault(error, this.#directory)
          this.#retryAt = monotonicNow() + RETRY_AFTER
        },
      )
      .finally(() => {
        this.#creating = null
      })
  }

  take(): Segment | null {
    const segment = this.#ready
    this.#ready = null
    return segment
  }

  drop(): void {
    this.#epoch++
    const segment = this.take()
    if (segment !== null) this.#discard(segment)
  }

  /** Resolves when nothing is being created. */
  async idle(): Promise<void> {
    await this.#creating
  }

  #discard(segment: Segment): void {
    segment.close()
    this.#remover.add(segment.path)
  }
}
