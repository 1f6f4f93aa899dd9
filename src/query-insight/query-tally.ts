import { isDeliberate } from './allow-repeated-queries.ts'
import { CallStack } from './call-stack.ts'
import type { CountedQuery } from './counted-query.ts'
import type { Fingerprint } from './fingerprint.ts'
import { LaterRun } from './later-run.ts'
import { takeStack } from './look-budget.ts'
import type { QueryRepeats } from './query-repeats.ts'
import type { QueryText } from './query-text.ts'
import { type CountedIn, QueryUse } from './query-use.ts'

/** So many times the repeats that make a finding are looked at, where they come from several places. */
const MOST_LOOKS = 4
/** Runs of one fingerprint that a test looks at. */
const MOST_ALWAYS = 2_000
/** So few are sooner looked through than looked up. */
const FEW = 12

/** The queries of one request, or of what a test expects something of. */
export class QueryTally implements CountedIn {
  /** Runs of one fingerprint from one place that are worth telling. */
  readonly repeats: number
  /** Whether repeats are looked at whatever that costs. */
  readonly #always: boolean
  total = 0
  #last: QueryUse | null = null
  #length = 0
  #byFingerprint: Map<Fingerprint, QueryUse> | null = null
  /** Those that were repeated often enough to be looked into; null for none. */
  suspects: Set<QueryUse> | null = null
  failures = 0
  #writes = 0
  /** The marks of all fingerprints so far: one whose mark is not among them is new, without a look at any. */
  #marks = 0

  constructor(repeats: number, always: boolean) {
    this.repeats = repeats
    this.#always = always
  }

  /** In the order they were first run. */
  get uses(): readonly QueryUse[] {
    const uses: QueryUse[] = []
    for (let use = this.#last; use !== null; use = use.previous) uses.push(use)
    return uses.reverse()
  }

  /** @param now monotonic milliseconds */
  begin(text: QueryText, values: unknown, now: number): CountedQuery {
    this.total++
    const { fingerprint } = text
    if (fingerprint.role === 'write') this.#writes++
    const use = this.#find(fingerprint)
    if (use !== null) return this.#again(use, text, values, now)
    const first = new QueryUse(this, this.#last, text, values, this.failures, this.#writes)
    this.#last = first
    this.#length++
    this.#marks |= fingerprint.mark
    this.#byFingerprint?.set(fingerprint, first)
    return first
  }

  #find(fingerprint: Fingerprint): QueryUse | null {
    if ((this.#marks & fingerprint.mark) === 0) return null
    if (this.#length > FEW) {
      this.#byFingerprint ??= new Map(this.uses.map((use) => [use.fingerprint, use]))
      return this.#byFingerprint.get(fingerprint) ?? null
    }
    let use = this.#last
    while (use !== null && use.fingerprint !== fingerprint) use = use.previous
    return use
  }

  #again(use: QueryUse, text: QueryText, values: unknown, now: number): CountedQuery {
    const repeats = use.begin(now)
    const { fingerprint } = text
    const afterFailure = this.failures !== use.failuresSeen
    use.failuresSeen = this.failures
    // Something has failed since: as a part of what is tried again it takes the place of the run before.
    if (afterFailure || fingerprint.role === 'other' || isDeliberate()) {
      return new LaterRun(use, null, false)
    }
    repeats.compare(text, values, this.#writes)
    use.count++
    if (use.count >= this.repeats) {
      this.suspects ??= new Set()
      this.suspects.add(use)
    }
    return new LaterRun(use, this.#look(repeats, fingerprint, use.count, now), true)
  }

  #look(repeats: QueryRepeats, fingerprint: Fingerprint, count: number, now: number): CallStack | null {
    if (this.repeats === Number.POSITIVE_INFINITY) return null
    repeats.looked ??= this.#always || now >= fingerprint.nextLook
    // What has been told lately is looked at once, to see whether it is the same again.
    if (!repeats.looked && count !== this.repeats) return null
    if (repeats.looked && !this.#isDue(repeats, count)) return null
    const { stacks } = repeats
    if (!this.#always && !takeStack(now)) {
      repeats.looked = stacks.length >= this.repeats - 1
      return null
    }
    const stack = new CallStack(count)
    stacks.push(stack)
    if (!repeats.looked) {
      repeats.known = fingerprint.callers.has(stack.caller)
      repeats.looked = !repeats.known
    } else if (count === this.repeats) {
      repeats.settled = !this.#always && stacks.every(({ caller }) => caller === stack.caller)
    } else if (repeats.settled && stacks[0]?.caller !== stack.caller) {
      repeats.settled = false
      repeats.lookUntil = count + this.repeats * MOST_LOOKS
    }
    return stack
  }

  /** Each run until it is clear where they come from; then after every doubling. */
  #isDue({ settled, lookUntil }: QueryRepeats, count: number): boolean {
    const until = this.#always ? MOST_ALWAYS : Math.max(lookUntil, this.repeats * MOST_LOOKS)
    return (!settled && count <= until) || (count & (count - 1)) === 0
  }
}
