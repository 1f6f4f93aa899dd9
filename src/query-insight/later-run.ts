import { monotonicNow } from '../resilience/clock.ts'
import type { CallStack } from './call-stack.ts'
import { type CountedQuery, endQuery, type InTest } from './counted-query.ts'
import type { Fingerprint } from './fingerprint.ts'
import type { QueryUse } from './query-use.ts'

/** A run of a query after its first. */
export class LaterRun implements CountedQuery {
  inTest: InTest | null = null
  readonly #use: QueryUse
  /** Null where it was not looked at. */
  readonly #stack: CallStack | null
  /** It may be a repeat. */
  readonly #counts: boolean
  #ended = false

  constructor(use: QueryUse, stack: CallStack | null, counts: boolean) {
    this.#use = use
    this.#stack = stack
    this.#counts = counts
  }

  get fingerprint(): Fingerprint {
    return this.#use.fingerprint
  }

  ended(rows: number, failed: boolean, startedAt: number, now: number = monotonicNow()): void {
    if (this.#ended) return
    this.#ended = true
    endQuery(this, rows, failed, startedAt, now)
  }

  endedHere(rows: number, failed: boolean, _startedAt: number, now: number): void {
    const use = this.#use
    use.laterEnded(rows, now)
    if (!failed) return
    use.fail(this.#counts)
    if (this.#stack !== null) use.repeats?.forget(this.#stack)
  }
}
