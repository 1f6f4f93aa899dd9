import { monotonicNow } from '../resilience/clock.ts'
import { isRepeatAllowed } from './allow-repeated-queries.ts'
import { CallStack } from './call-stack.ts'
import { type CountedQuery, endQuery, type InTest } from './counted-query.ts'
import type { Fingerprint } from './fingerprint.ts'
import type { QueryText } from './query-text.ts'
import { type FailureCounter, type QueryRepeats, QueryUse } from './query-use.ts'

/** Samples of a repeat from several places, in multiples of the threshold. */
const MAX_SAMPLES = 4
/** The most runs of one fingerprint that a test samples. */
const MAX_SAMPLES_IN_TEST = 2_000
/** Up to this many uses a scan is faster than a look-up. */
const MAX_SCANNED = 12

/** Counts the queries of one request, or of one expectation in a test. */
export class QueryCounter implements FailureCounter {
  /** The runs of one query from one place that make a repeat. */
  readonly threshold: number
  /** Whether every repeat is sampled, regardless of the cost. */
  readonly #samplesAll: boolean
  total = 0
  #last: QueryUse | null = null
  #length = 0
  #byFingerprint: Map<Fingerprint, QueryUse> | null = null
  /** The uses with enough runs to be examined; null if there are none. */
  suspects: Set<QueryUse> | null = null
  failures = 0
  #writes = 0
  /** The marks of all fingerprints so far. A fingerprint whose mark is not set is new. */
  #marks = 0

  constructor(threshold: number, samplesAll: boolean) {
    this.threshold = threshold
    this.#samplesAll = samplesAll
  }

  /** In the order of their first runs. */
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
    if (use !== null) return this.#beginLater(use, text, values, now)
    const first = new QueryUse(this, this.#last, text, values, this.failures, this.#writes)
    this.#last = first
    this.#length++
    this.#marks |= fingerprint.mark
    this.#byFingerprint?.set(fingerprint, first)
    return first
  }

  #find(fingerprint: Fingerprint): QueryUse | null {
    if ((this.#marks & fingerprint.mark) === 0) return null
    if (this.#length > MAX_SCANNED) {
      this.#byFingerprint ??= new Map(this.uses.map((use) => [use.fingerprint, use]))
      return this.#byFingerprint.get(fingerprint) ?? null
    }
    let use = this.#last
    while (use !== null && use.fingerprint !== fingerprint) use = use.previous
    return use
  }

  #beginLater(use: QueryUse, text: QueryText, values: unknown, now: number): CountedQuery {
    const repeats = use.begin(now)
    const { fingerprint } = text
    const afterFailure = this.failures !== use.failuresSeen
    use.failuresSeen = this.failures
    // After a failure the run may belong to a retry, and then replaces the run before.
    if (afterFailure || fingerprint.role === 'other' || isRepeatAllowed()) {
      return new LaterRun(use, null, false)
    }
    repeats.compare(text, values, this.#writes)
    use.count++
    if (use.count >= this.threshold) {
      this.suspects ??= new Set()
      this.suspects.add(use)
    }
    return new LaterRun(use, this.#sample(repeats, fingerprint, use.count, now), true)
  }

  #sample(repeats: QueryRepeats, fingerprint: Fingerprint, count: number, now: number): CallStack | null {
    if (this.threshold === Number.POSITIVE_INFINITY) return null
    repeats.sampled ??= this.#samplesAll || now >= fingerprint.sampledUntil
    // A repeat that was examined lately is sampled once, to see whether its caller is a known one.
    if (!repeats.sampled && count !== this.threshold) return null
    if (repeats.sampled && !this.#isDue(repeats, count)) return null
    const { stacks } = repeats
    if (!this.#samplesAll && !takeSample(now)) {
      repeats.sampled = stacks.length >= this.threshold - 1
      return null
    }
    const stack = new CallStack(count)
    stacks.push(stack)
    if (!repeats.sampled) {
      repeats.isKnownCaller = fingerprint.callers.has(stack.caller)
      repeats.sampled = !repeats.isKnownCaller
    } else if (count === this.threshold) {
      repeats.settled = !this.#samplesAll && stacks.every(({ caller }) => caller === stack.caller)
    } else if (repeats.settled && stacks[0]?.caller !== stack.caller) {
      repeats.settled = false
      repeats.sampleUntil = count + this.threshold * MAX_SAMPLES
    }
    return stack
  }

  /** Every run until the callers are clear, then the runs whose number is a power of two. */
  #isDue({ settled, sampleUntil }: QueryRepeats, count: number): boolean {
    const until = this.#samplesAll ? MAX_SAMPLES_IN_TEST : Math.max(sampleUntil, this.threshold * MAX_SAMPLES)
    return (!settled && count <= until) || (count & (count - 1)) === 0
  }
}

/** A run of a query after its first. */
class LaterRun implements CountedQuery {
  inTest: InTest | null = null
  readonly #use: QueryUse
  /** Null if it was not sampled. */
  readonly #stack: CallStack | null
  /** Whether it may be a repeat. */
  readonly #counts: boolean
  #hasEnded = false

  constructor(use: QueryUse, stack: CallStack | null, counts: boolean) {
    this.#use = use
    this.#stack = stack
    this.#counts = counts
  }

  get fingerprint(): Fingerprint {
    return this.#use.fingerprint
  }

  ended(rows: number, failed: boolean, startedAt: number, now: number = monotonicNow()): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
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

/** Call stacks captured per second in this process: less than 1 % of its time. */
const SAMPLES_PER_SECOND = 600
const SECOND = 1_000

let samplingSince = Number.NEGATIVE_INFINITY
let samplesLeft = SAMPLES_PER_SECOND

/** Whether another call stack may be captured. */
function takeSample(now: number): boolean {
  if (now - samplingSince >= SECOND) {
    samplingSince = now
    samplesLeft = SAMPLES_PER_SECOND
  }
  if (samplesLeft === 0) return false
  samplesLeft--
  return true
}

/** The instant from which a fingerprint that was examined now is fully sampled again. */
export function nextFullSample(now: number): number {
  return now + SECOND
}
