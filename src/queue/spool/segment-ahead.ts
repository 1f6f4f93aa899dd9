import { monotonicNow } from '../../resilience/clock.ts'
import { type DiskFault, diskFault } from './disk-fault.ts'
import { inDiskLane } from './disk-lane.ts'
import type { Segment } from './segment.ts'
import { createSegmentLater } from './segment-files.ts'

/** Milliseconds between attempts to make a file where that has failed. */
const AGAIN = 1_000

export interface SegmentAheadOptions {
  readonly directory: string
  readonly header: Buffer
  /** Bytes that are reserved for it. */
  readonly size: number
  readonly nextNumber: () => number
  /** One that was made is not wanted any more. */
  readonly discard: (segment: Segment) => void
}

/** The segment that comes after the present one, made in the background so that nobody waits for it. */
export class SegmentAhead {
  readonly #options: SegmentAheadOptions
  #ready: Segment | null = null
  #making: Promise<void> | null = null
  #againAt = 0
  /** A segment that is being made for what has been given up since is not wanted. */
  #generation = 0
  /** Why the last attempt failed; null when it did not. */
  fault: DiskFault | null = null

  constructor(options: SegmentAheadOptions) {
    this.#options = options
  }

  /** Makes it unless that is done, under way or has just failed. */
  prepare(): void {
    if (this.#ready !== null || this.#making !== null || monotonicNow() < this.#againAt) return
    const generation = this.#generation
    const { directory, header, size, nextNumber, discard } = this.#options
    this.#making = inDiskLane(() => createSegmentLater(directory, nextNumber(), header, size))
      .then(
        (segment) => {
          this.fault = null
          if (generation === this.#generation) this.#ready = segment
          else discard(segment)
        },
        (error: unknown) => {
          this.fault = diskFault(error, directory)
          this.#againAt = monotonicNow() + AGAIN
        },
      )
      .finally(() => {
        this.#making = null
      })
  }

  take(): Segment | null {
    const segment = this.#ready
    this.#ready = null
    return segment
  }

  drop(): void {
    this.#generation++
    const segment = this.take()
    if (segment !== null) this.#options.discard(segment)
  }

  /** Resolves when nothing is being made. */
  async idle(): Promise<void> {
    await this.#making
  }
}
