import { after } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'

const SECOND: Milliseconds = ms(1_000)
/** Routes that are counted apart within a second; the rest together. */
const MOST_ROUTES = 20
const OTHERS = 'others'

/** What was left out within a second. */
export interface LeftOut {
  readonly lines: number
  readonly outcomes: Readonly<Record<string, number>>
  readonly routes: Readonly<Record<string, number>>
}

/**
 * At most so many lines a second. What is beyond is counted, and told in one line at the end of
 * that second, so that a flood drowns nothing.
 */
export class LineBudget {
  readonly #perSecond: number
  readonly #tell: (left: LeftOut) => void
  /** Monotonic milliseconds at which the second began that is being counted. */
  #since: number = Number.NEGATIVE_INFINITY
  #lines = 0
  #leftOut = 0
  readonly #outcomes = new Map<string, number>()
  readonly #routes = new Map<string, number>()

  constructor(perSecond: number, tell: (left: LeftOut) => void) {
    this.#perSecond = perSecond
    this.#tell = tell
  }

  /** Whether another line may be written at `now`, in monotonic milliseconds. */
  take(now: number): boolean {
    // While something is left untold the second is ended by its timer alone: else its line would
    // come late, and count two.
    if (this.#leftOut === 0 && now - this.#since >= SECOND) {
      this.#since = now
      this.#lines = 0
    }
    if (this.#lines === this.#perSecond) return false
    this.#lines++
    return true
  }

  leaveOut(outcome: string, route: string, now: number): void {
    if (this.#leftOut++ === 0) {
      after(ms(Math.max(1, this.#since + SECOND - now)), () => this.flush(), { keepAlive: false })
    }
    count(this.#outcomes, outcome)
    count(this.#routes, this.#routes.has(route) || this.#routes.size < MOST_ROUTES ? route : OTHERS)
  }

  /** Tells what was left out, if anything, and begins a new second. */
  flush(): void {
    if (this.#leftOut === 0) return
    const left: LeftOut = {
      lines: this.#leftOut,
      outcomes: Object.fromEntries(this.#outcomes),
      routes: Object.fromEntries(this.#routes),
    }
    this.#leftOut = 0
    this.#since = Number.NEGATIVE_INFINITY
    this.#outcomes.clear()
    this.#routes.clear()
    this.#tell(left)
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
