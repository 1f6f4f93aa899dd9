import { EventEmitter } from 'node:events'
import { after, type Cancel, monotonicNow } from '../../resilience/clock.ts'
import { formatElapsed, ms } from '../../resilience/duration.ts'
import { type DiskFault, diskFault } from './disk-fault.ts'
import { inFileQueue } from './file-io.ts'
import type { OpenSegments } from './open-segments.ts'
import type { Segment } from './segment.ts'
import type { FileRemover, SegmentFactory } from './segment-files.ts'

/** Milliseconds between probes. */
const MIN_DELAY = 500
const MAX_DELAY = 30_000
/** Milliseconds. A slower probe has failed. */
const SLOW_PROBE = 500

export interface DiskProbeParts {
  readonly directory: string
  readonly factory: SegmentFactory
  readonly segments: OpenSegments
  readonly remover: FileRemover
}

interface ProbeEvents {
  /** The disk works; the segment belongs to the listener. */
  success: [segment: Segment]
  fault: [fault: DiskFault]
}

/**
 * Finds out in the background when a disk works again: after half a second, then with twice the
 * delay each time, up to 30 seconds.
 */
export class DiskProbe extends EventEmitter<ProbeEvents> {
  readonly #parts: DiskProbeParts
  #delay = MIN_DELAY
  #cancel: Cancel | null = null
  #running: Promise<void> | null = null
  #succeededAt = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(parts: DiskProbeParts) {
    super()
    this.#parts = parts
  }

  start(): void {
    // A disk that fails again soon is not probed more often for having worked in between.
    const isNewFault = monotonicNow() - this.#succeededAt > MAX_DELAY
    this.#delay = isNewFault ? MIN_DELAY : Math.min(MAX_DELAY, this.#delay * 2)
    this.#schedule()
  }

  /** Resolves when no probe is running. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancel?.()
    await this.#running
  }

  #schedule(): void {
    if (this.#closed) return
    const run = (): void => {
      this.#running = inFileQueue(() => this.#probe()).finally(() => {
        this.#running = null
      })
    }
    this.#cancel = after(ms(this.#delay), run, { keepAlive: false })
  }

  async #probe(): Promise<void> {
    if (this.#closed) return
    const { directory, factory, segments, remover } = this.#parts
    let segment: Segment | null = null
    try {
      const probe = await factory.probe()
      segment = probe.segment
      await segments.restoreGone()
      if (probe.took <= SLOW_PROBE && !this.#closed) {
        this.#succeededAt = monotonicNow()
        this.emit('success', segment)
        return
      }
      this.emit('fault', { kind: 'slow', why: `a probe of ${directory} took ${formatElapsed(probe.took)}` })
    } catch (error) {
      this.emit('fault', diskFault(error, directory))
    }
    if (segment !== null) {
      segment.close()
      remover.add(segment.path)
    }
    this.#delay = Math.min(MAX_DELAY, this.#delay * 2)
    this.#schedule()
  }
}
