import type { Milliseconds } from '../resilience/duration.ts'

type Stage = 'none' | 'report' | 'interrupt' | 'kill'

/** What is due now: each stage of a stall once, and `ended` when a reported stall is over. */
export type StallDecision = Stage | 'ended'

/** After how long each stage is due. Read on every look, so they may change between two. */
export interface StallThresholds {
  readonly report: Milliseconds
  /** While the worker boots: loading an app is synchronous, and slow on a busy machine. */
  readonly bootReport: Milliseconds
  readonly interrupt: Milliseconds
  readonly kill: Milliseconds
  /** The last stage that is allowed. */
  readonly action: 'report' | 'interrupt' | 'kill'
}

/** What one look at the pulse shows. Times are in monotonic milliseconds. */
export interface Observation {
  readonly now: number
  readonly lastBeat: number
  readonly booting: boolean
  /** Another debugger is attached to the main thread. */
  readonly debugged: boolean
  /** Until when the job that `allowBlocking` runs may block; 0 without one. */
  readonly blockingUntil: number
  /**
   * The deadline of the stalled request, once that is known: a reported stall is interrupted then,
   * if that is sooner than the threshold.
   */
  readonly interruptAt?: number
}

const RANK = { none: 0, report: 1, interrupt: 2, kill: 3 } as const

/**
 * Decides from observations of the heartbeat what is due. Pure: it reads no clock.
 *
 * Time in which the watchdog itself did not run (the process was stopped, the machine slept, the
 * container was frozen) is not a stall of the main thread: a gap between two observations counts as
 * one interval at most.
 */
export class StallDetector {
  readonly #thresholds: StallThresholds
  readonly #interval: Milliseconds
  #previous = 0
  #beat = 0
  #since = 0
  #reached: Stage = 'none'
  #stalledFor = 0

  constructor(thresholds: StallThresholds, interval: Milliseconds) {
    this.#thresholds = thresholds
    this.#interval = interval
  }

  /** How long the main thread has been stalled, in milliseconds; after `ended`, how long it was. */
  get stalledFor(): number {
    return this.#stalledFor
  }

  look(observation: Observation): StallDecision {
    const { now, lastBeat, debugged, blockingUntil } = observation
    const gap = this.#previous === 0 ? 0 : now - this.#previous
    this.#previous = now
    if (lastBeat === 0) return 'none'

    if (lastBeat !== this.#beat) {
      this.#beat = lastBeat
      this.#since = lastBeat
      const reached = this.#reached
      this.#reached = 'none'
      if (reached === 'none') this.#stalledFor = 0
      return reached === 'none' ? 'none' : 'ended'
    }
    if (gap > this.#interval * 4) this.#since += gap - this.#interval
    if (debugged) this.#since = now
    this.#since = Math.max(this.#since, Math.min(blockingUntil, now))
    this.#stalledFor = now - this.#since
    return this.#due(observation)
  }

  #due(observation: Observation): Stage {
    const { bootReport, interrupt, kill, action } = this.#thresholds
    const report = observation.booting ? bootReport : this.#thresholds.report
    const furthest: Stage = observation.booting ? 'report' : action
    for (const [stage, threshold] of [
      ['kill', kill],
      ['interrupt', interrupt],
      ['report', report],
    ] as const) {
      if (RANK[stage] > RANK[furthest]) continue
      if (this.#stalledFor < threshold && !(stage === 'interrupt' && this.#isPastDeadline(observation))) continue
      if (RANK[this.#reached] >= RANK[stage]) return 'none'
      this.#reached = stage
      return stage
    }
    return 'none'
  }

  /** Only after the report: before that it is not known whose code it is. */
  #isPastDeadline({ now, interruptAt }: Observation): boolean {
    return this.#reached === 'report' && interruptAt !== undefined && now >= interruptAt
  }
}
