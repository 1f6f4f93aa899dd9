import { after } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'

const SECOND: Milliseconds = ms(1_000)
/** Routes that are counted separately within a second. */
const MAX_ROUTES = 20
const OTHERS = 'others'

/** Lines that were omitted within a second. */
export interface OmittedLines {
  readonly lines: number
  readonly outcomes: Readonly<Record<string, number>>
  readonly routes: Readonly<Record<string, number>>
}

/**
 * Limits the lines per second. Further ones are counted, and reported once at the end of the
 * second.
 */
export class LineBudget {
  readonly #perSecond: number
  readonly #onOmitted: (omitted: OmittedLines) => void
  /** When the current second started, in monotonic milliseconds. */
  #since: number = Number.NEGATIVE_INFINITY
  #lines = 0
  #omitted = 0
  readonly #outcomes = new Map<string, number>()
  readonly #routes = new Map<string, number>()

  constructor(perSecond: number, onOmitted: (omitted: OmittedLines) => void) {
    this.#perSecond = perSecond
    this.#onOmitted = onOmitted
  }

  /** Whether another line may be written at `now`, in monotonic milliseconds. */
  take(now: number): boolean {
    // While omitted lines are not reported, only the timer ends the second: otherwise one report
    // would cover two.
    if (this.#omitted === 0 && now - this.#since >= SECOND) {
      this.#since = now
      this.#lines = 0
    }
    if (this.#lines === this.#perSecond) return false
    this.#lines++
    return true
  }

  omit(outcome: string, route: string, now: number): void {
    if (this.#omitted++ === 0) {
      after(ms(Math.max(1, this.#since + SECOND - now)), () => this.flush(), { keepAlive: false })
    }
    count(this.#outcomes, outcome)
    count(this.#routes, this.#routes.has(route) || this.#routes.size < MAX_ROUTES ? route : OTHERS)
  }

  /** Reports omitted lines, if any, and starts a new second. */
  flush(): void {
    if (this.#omitted === 0) return
    const omitted: OmittedLines = {
      lines: this.#omitted,
      outcomes: Object.fromEntries(this.#outcomes),
      routes: Object.fromEntries(this.#routes),
    }
    this.#omitted = 0
    this.#since = Number.NEGATIVE_INFINITY
    this.#outcomes.clear()
    this.#routes.clear()
    this.#onOmitted(omitted)
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
