import { monotonicNow } from '../resilience/clock.ts'
import type { CallStack } from './call-stack.ts'
import { type CountedQuery, endQuery, type InTest } from './counted-query.ts'
import type { Fingerprint } from './fingerprint.ts'
import type { ParameterKey, QueryText } from './query-text.ts'

/** The longest first run that can be recorded, in microseconds: half an hour. */
const MAX_MICROS = 2 ** 31 - 1
/** The first run has not ended. */
const RUNNING = -1
/** The first run ended while others ran: its time is in `QueryRepeats.busyMs`. */
const OVERLAPPED = -2

/** The part of a counter that its queries need. */
export interface FailureCounter {
  failures: number
}

/**
 * The use of one fingerprint in one counter, such as that of a request. It is also the first run of
 * the query, because most queries run once. It is small and has no fractional numbers, because
 * nearly every query creates one.
 */
export class QueryUse implements CountedQuery {
  inTest: InTest | null = null
  /** Null outside of requests. */
  readonly #counter: FailureCounter | null
  /** The previous use in the counter, in the order of their first runs. */
  readonly previous: QueryUse | null
  readonly #first: QueryText
  readonly #firstValues: unknown
  /** The runs that count: those that did not fail, are no retries, and are not allowed repeats. */
  count = 1
  rows = 0
  /** The duration of the first run in microseconds, or one of the constants above. */
  #firstMicros: number = RUNNING
  /** The failures that the counter had at the last run. */
  failuresSeen: number
  readonly #writesSeen: number
  /** Null until the second run. */
  repeats: QueryRepeats | null = null

  constructor(
    counter: FailureCounter | null,
    previous: QueryUse | null,
    first: QueryText,
    values: unknown,
    failures: number,
    writes: number,
  ) {
    this.#counter = counter
    this.previous = previous
    this.#first = first
    this.#firstValues = values
    this.failuresSeen = failures
    this.#writesSeen = writes
  }

  get fingerprint(): Fingerprint {
    return this.#first.fingerprint
  }

  /** All runs. */
  get runs(): number {
    return this.repeats?.runs ?? 1
  }

  /** The milliseconds in which at least one of the runs was under way. */
  get busyMs(): number {
    return Math.max(0, this.#firstMicros) / 1_000 + (this.repeats?.busyMs ?? 0)
  }

  /** Starts another run. */
  begin(now: number): QueryRepeats {
    this.repeats ??= new QueryRepeats(
      this.#first,
      this.#firstValues,
      this.#writesSeen,
      now,
      this.#firstMicros === RUNNING,
    )
    this.repeats.begin(now)
    return this.repeats
  }

  ended(rows: number, failed: boolean, startedAt: number, now: number = monotonicNow()): void {
    if (this.#firstMicros === RUNNING) endQuery(this, rows, failed, startedAt, now)
  }

  endedHere(rows: number, failed: boolean, startedAt: number, now: number): void {
    this.rows += rows
    if (this.repeats === null) {
      const micros = (now - startedAt) * 1_000
      this.#firstMicros = micros < 0 ? 0 : micros < MAX_MICROS ? micros | 0 : MAX_MICROS
    } else {
      this.#firstMicros = OVERLAPPED
      this.repeats.end(now)
    }
    if (failed) this.fail(true)
  }

  /** Records the end of a run after the first. */
  laterEnded(rows: number, now: number): void {
    this.rows += rows
    this.repeats?.end(now)
  }

  /** Records a failed run, which may be retried. */
  fail(counts: boolean): void {
    if (this.#counter !== null) this.#counter.failures++
    if (counts) this.count--
  }
}

/** How the runs of a query differ: not at all, in the range of rows they read, or in the rows. */
type Difference = 'nothing' | 'range' | 'rows'

/** The runs of a query after the first. Instants and durations are in monotonic milliseconds. */
export class QueryRepeats {
  readonly #first: QueryText
  readonly #firstValues: unknown
  differ: Difference = 'nothing'
  readonly #firstAt: number
  #lastAt: number
  /** The time in which at least one run was under way. */
  busyMs = 0
  #running: number
  #busySince: number
  /** All runs, including the first. */
  runs = 1
  /** Runs with the same values that may return another result, because a write came in between. */
  afterWrite = 0
  #writesSeen: number
  /** The call stacks of sampled runs, from the second run on. */
  readonly stacks: CallStack[] = []
  /** Whether its runs are sampled; null until decided. */
  sampled: boolean | null = null
  /** All samples so far came from one place, so that only some of the later runs are sampled. */
  settled = false
  /** While not settled, all runs up to this one are sampled. */
  sampleUntil = 0
  /** Its caller was found to repeat it before. */
  isKnownCaller = false

  /** @param firstRuns whether the first run is still under way */
  constructor(first: QueryText, firstValues: unknown, writesSeen: number, now: number, firstRuns: boolean) {
    this.#first = first
    this.#firstAt = now
    this.#lastAt = now
    this.#busySince = now
    this.#running = firstRuns ? 1 : 0
    this.#firstValues = firstValues
    this.#writesSeen = writesSeen
  }

  begin(now: number): void {
    this.#lastAt = now
    this.runs++
    if (this.#running++ === 0) this.#busySince = now
  }

  end(now: number): void {
    if (--this.#running === 0) this.busyMs += now - this.#busySince
  }

  /** Drops the sample of a run that no longer counts. */
  forget(stack: CallStack): void {
    this.stacks.splice(this.stacks.indexOf(stack), 1)
  }

  /** The average pause between two runs: how often a caller that polls asks. */
  get pause(): number {
    return (this.#lastAt - this.#firstAt - this.busyMs) / Math.max(1, this.runs - 2)
  }

  /** Compares a run that counts with the first one. */
  compare(text: QueryText, values: unknown, writes: number): void {
    if (writes !== this.#writesSeen) this.afterWrite++
    this.#writesSeen = writes
    if (this.differ === 'rows') return
    const found = text === this.#first ? differenceOf(this.#firstValues, values, text) : differenceOfTexts(text)
    if (found !== 'nothing') this.differ = found
  }
}

function differenceOf(first: unknown, values: unknown, text: QueryText): Difference {
  if (first === values) return 'nothing'
  let found: Difference = 'nothing'
  for (const [key, one, other] of pairs(first, values)) {
    if (isSame(one, other)) continue
    // Each run of a statement with several values is a batch already.
    if (!text.many && !isList(one) && !isList(other) && !text.ranges.has(key)) return 'rows'
    found = 'range'
  }
  return found
}

/** The texts differ in values that are written into them, or in the length of a list. */
function differenceOfTexts({ many, readsRange }: QueryText): Difference {
  return many || readsRange ? 'range' : 'rows'
}

function* pairs(first: unknown, values: unknown): Generator<readonly [ParameterKey, unknown, unknown]> {
  if (Array.isArray(first) && Array.isArray(values)) {
    for (let index = 0; index < Math.max(first.length, values.length); index++) {
      yield [index, first[index], values[index]]
    }
  } else if (isRecord(first) && isRecord(values)) {
    for (const name of Object.keys(values)) {
      yield [name.replace(/^[:@$]/, ''), first[name], values[name]]
    }
  }
}

function isList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 1
}

/** Compares dates and bytes by content, other objects by identity. */
function isSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (one instanceof Date && other instanceof Date) return one.getTime() === other.getTime()
  if (one instanceof Uint8Array && other instanceof Uint8Array) return Buffer.compare(one, other) === 0
  return false
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
