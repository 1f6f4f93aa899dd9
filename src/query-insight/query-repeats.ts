import type { CallStack } from './call-stack.ts'
import type { QueryText } from './query-text.ts'
import type { ParameterKey } from './range-parameters.ts'

/** How runs of one query differ: in nothing, in the stretch of rows they read, or in whose rows they are. */
type Difference = 'nothing' | 'range' | 'rows'

/** What is known of the runs of a query beyond the first. */
export class QueryRepeats {
  readonly #first: QueryText
  readonly #firstValues: unknown
  differ: Difference = 'nothing'
  /** Monotonic milliseconds, as all instants here. */
  readonly #firstAt: number
  #lastAt: number
  /** Milliseconds in which at least one ran. */
  busyMs = 0
  #running: number
  #busySince: number
  /** Of all, the first included. */
  runs = 1
  /** Runs that may well give another answer than the one before, with the same values: something was written in between. */
  afresh = 0
  #writesSeen: number
  /** Where it was asked for, from the second run on. */
  readonly stacks: CallStack[] = []
  /** Whether it is looked at; null before that was decided. */
  looked: boolean | null = null
  /** Everything seen so far came from one place: only some of what follows is looked at. */
  settled = false
  /** Runs up to this one are all looked at while it is not settled. */
  lookUntil = 0
  /** Its caller is one that was found to repeat it before. */
  known = false

  /** @param stillRuns the first run has not ended */
  constructor(first: QueryText, firstValues: unknown, writesSeen: number, now: number, stillRuns: boolean) {
    this.#first = first
    this.#firstAt = now
    this.#lastAt = now
    this.#busySince = now
    this.#running = stillRuns ? 1 : 0
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

  /** A run that was looked at counts no more. */
  forget(stack: CallStack): void {
    this.stacks.splice(this.stacks.indexOf(stack), 1)
  }

  /** Milliseconds from one run to the next, less what they took; how long somebody paused in between who asks again and again. */
  get pause(): number {
    return (this.#lastAt - this.#firstAt - this.busyMs) / Math.max(1, this.runs - 2)
  }

  /** A run that counts, with this text and these values, after so many writes. */
  compare(text: QueryText, values: unknown, writes: number): void {
    if (writes !== this.#writesSeen) this.afresh++
    this.#writesSeen = writes
    if (this.differ === 'rows') return
    const found = text === this.#first ? differing(this.#firstValues, values, text) : differingTexts(text)
    if (found !== 'nothing') this.differ = found
  }
}

function differing(first: unknown, values: unknown, text: QueryText): Difference {
  if (first === values) return 'nothing'
  let found: Difference = 'nothing'
  for (const [key, one, other] of pairs(first, values)) {
    if (isSame(one, other)) continue
    // Of a statement for many at once each run is a lot already, whatever its values.
    if (!text.many && !isList(one) && !isList(other) && !text.ranges.has(key)) return 'rows'
    found = 'range'
  }
  return found
}

/** With its values written into it, or with a list of another length. */
function differingTexts({ many, readsRange }: QueryText): Difference {
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

/** Dates and bytes by what they hold; other objects only if they are one. */
function isSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (one instanceof Date && other instanceof Date) return one.getTime() === other.getTime()
  if (one instanceof Uint8Array && other instanceof Uint8Array) return Buffer.compare(one, other) === 0
  return false
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
