import { after, type Cancel, monotonicNow } from '../../resilience/clock.ts'
import { formatElapsed, ms } from '../../resilience/duration.ts'
import { type DiskFault, diskFault } from './disk-fault.ts'
import { inDiskLane } from './disk-lane.ts'
import type { Segment } from './segment.ts'
import { tryDisk } from './segment-files.ts'

/** Milliseconds. */
const SHORTEST = 500
const LONGEST = 30_000
/** Milliseconds. A trial that takes longer has failed. */
const SLOW_TRIAL = 500

export interface DiskTrialOptions {
  readonly directory: string
  readonly header: Buffer
  nextNumber(): number
  /** What else must work before the disk does. It may reject. */
  prepare(): Promise<void>
  /** The disk works; the segment is the caller's. */
  onSuccess(segment: Segment): void
  onFault(fault: DiskFault): void
  discard(segment: Segment): void
}

/** Finds out in the background when a disk works again: a trial after half a second, then after twice as long each time, up to 30 seconds. */
export class DiskTrial {
  readonly #options: DiskTrialOptions
  #delay = SHORTEST
  #cancel: Cancel | null = null
  #running: Promise<void> | null = null
  #succeededAt = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(options: DiskTrialOptions) {
    this.#options = options
  }

  begin(): void {
    // A disk that fails again at once is not tried more often for having worked in between.
    const held = monotonicNow() - this.#succeededAt > LONGEST
    this.#delay = held ? SHORTEST : Math.min(LONGEST, this.#delay * 2)
    this.#schedule()
  }

  /** Resolves when no trial is under way. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancel?.()
    await this.#running
  }

  #schedule(): void {
    if (this.#closed) return
    this.#cancel = after(
      ms(this.#delay),
      () => {
        this.#running = inDiskLane(() => this.#run()).finally(() => {
          this.#running = null
        })
      },
      { keepAlive: false },
    )
  }

  async #run(): Promise<void> {
    if (this.#closed) return
    const { directory, header, nextNumber, prepare, onSuccess, onFault, discard } = this.#options
    let segment: Segment | null = null
    try {
      const trial = await tryDisk(directory, nextNumber(), header)
      segment = trial.segment
      await prepare()
      if (trial.took <= SLOW_TRIAL && !this.#closed) {
        this.#succeededAt = monotonicNow()
        return onSuccess(segment)
      }
      onFault({ kind: 'slow', why: `a trial of ${directory} took ${formatElapsed(trial.took)}` })
    } catch (error) {
      onFault(diskFault(error, directory))
    }
    if (segment !== null) discard(segment)
    this.#delay = Math.min(LONGEST, this.#delay * 2)
    this.#schedule()
  }
}
