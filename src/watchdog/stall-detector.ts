import type { Milliseconds } from '../resilience/duration.ts'

/** What is due now. Each stage of a stall is said once. */
export type StallDecision = 'none' | 'report' | 'interrupt' | 'kill' | 'ended'

/** Read at every look: they may be changed between two. */
export interface StallThresholds {
  readonly report: Milliseconds
  readonly interrupt: Milliseconds
  readonly kill: Milliseconds
  /** How far a stall may be taken. */
  readonly action: 'report' | 'interrupt' | 'kill'
}

/** What one look at the pulse shows. */
export interface Observation {
  readonly now: number
  readonly lastBeat: number
  readonly booting: boolean
  /** Somebody else debugs the main thread. */
  readonly debugged: boolean
  /** 0, or until when a long turn was announced. */
  readonly blockingUntil: number
  /** When the deadline of the request that stalls passes, once that is known: a reported stall is cut then, if that is sooner than `cut`. */
  readonly interruptAt?: number
}

type Stage = 'none' | 'report' | 'interrupt' | 'kill'

const RANK = { none: 0, report: 1, interrupt: 2, kill: 3 } as const

/**
 * Decides from looks at the heartbeat what is due. Pure: it reads no clock.
 *
 * Time in which the watchdog itself did not run (the whole process was stopped, the machine slept, the container was frozen) is
 * no stall of the main thread and is not counted: a gap between two looks counts as one interval at most.
 */
export class StallDetector {
  readonly #limits: StallThresholds
  readonly #interval: Milliseconds
  #previous = 0
  #beat = 0
  #since = 0
  #reached: Stage = 'none'
  #stalledFor = 0

  constructor(limits: StallThresholds, interval: Milliseconds) {
    this.#limits = limits
    this.#interval = interval
  }

  /** How long the main thread has stood still, as far as it counts; after `ended`, how long it did. */
  get stalledFor(): number {
    return this.#stalledFor
  }

  look(look: Observation): StallDecision {
    const gap = this.#previous === 0 ? 0 : look.now - this.#previous
    this.#previous = look.now
    if (look.lastBeat === 0) return 'none'

    if (look.lastBeat !== this.#beat) {
      this.#beat = look.lastBeat
      this.#since = look.lastBeat
      const reached = this.#reached
      this.#reached = 'none'
      if (reached === 'none') this.#stalledFor = 0
      return reached === 'none' ? 'none' : 'ended'
    }
    // Our own absence moves the start of the stall on.
    if (gap > this.#interval * 4) this.#since += gap - this.#interval
    if (look.debugged) this.#since = look.now
    this.#since = Math.max(this.#since, Math.min(look.blockingUntil, look.now))
    this.#stalledFor = look.now - this.#since
    return this.#due(look)
  }

  #due(look: Observation): StallDecision {
    const { report, interrupt: cut, kill, action } = this.#limits
    const furthest: Stage = look.booting ? 'report' : action
    for (const [stage, limit] of [
      ['kill', kill],
      ['interrupt', cut],
      ['report', report],
    ] as const) {
      if (RANK[stage] > RANK[furthest]) continue
      if (this.#stalledFor < limit && !(stage === 'interrupt' && this.#isLate(look))) continue
      if (RANK[this.#reached] >= RANK[stage]) return 'none'
      this.#reached = stage
      return stage
    }
    return 'none'
  }

  /** Only once it was reported: until then nobody knows whose code it is, nor why. */
  #isLate({ now, interruptAt: cutAt }: Observation): boolean {
    return this.#reached === 'report' && cutAt !== undefined && now >= cutAt
  }
}
