import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed } from '../resilience/duration.ts'
import type { CallStack } from './call-stack.ts'
import { nextFullSample, type QueryCounter } from './query-counter.ts'
import type { QueryRepeats, QueryUse } from './query-use.ts'
import { type RepeatPlace, repeatPlace } from './repeat-place.ts'
import { formatSql } from './sql-text.ts'

/** A query that ran several times from one place. */
export interface Repeat extends RepeatPlace {
  readonly use: QueryUse
  /** `rows`: with different values. `same`: with the same values. */
  readonly kind: 'rows' | 'same'
  readonly count: number
}

/** The average pause between runs with the same values from which they count as polling. */
const POLLING_MS = 50

/** Returns the repeats to report, those with the most runs first. */
export async function findRepeats(counter: QueryCounter): Promise<readonly Repeat[]> {
  const found: Repeat[] = []
  for (const use of counter.suspects ?? []) {
    const { repeats } = use
    const kind = repeats === null ? null : kindOf(use, repeats, counter.threshold)
    if (repeats === null || kind === null) continue
    for (const { stack, count } of places(use, repeats.stacks, repeats.isKnownCaller ? 2 : counter.threshold)) {
      use.fingerprint.addCaller(stack.caller, nextFullSample(monotonicNow()))
      found.push({ use, kind, count, ...(await repeatPlace(stack.caller, stack.frames)) })
    }
  }
  return found.sort((one, other) => other.count - one.count)
}

/** Null if the runs are not reported. */
function kindOf(use: QueryUse, { differ, afterWrite, pause }: QueryRepeats, threshold: number): Repeat['kind'] | null {
  if (use.count < threshold) return null
  // Reading one range after the other is the way to read a large result.
  if (differ !== 'nothing') return differ === 'rows' ? 'rows' : null
  const isRepeated = use.fingerprint.role === 'read' && use.count - afterWrite >= threshold
  return isRepeated && pause < POLLING_MS ? 'same' : null
}

interface Place {
  readonly stack: CallStack
  readonly count: number
}

/**
 * The places with enough runs. The first run of all was not sampled; if the others come from one
 * place, it is counted there too.
 */
function places(use: QueryUse, stacks: readonly CallStack[], threshold: number): readonly Place[] {
  const byCaller = new Map<string, CallStack[]>()
  for (const stack of stacks) {
    const { caller } = stack
    if (caller === '') continue
    const same = byCaller.get(caller)
    if (same === undefined) byCaller.set(caller, [stack])
    else same.push(stack)
  }
  const counts = countsOf(use, stacks)
  const found: Place[] = []
  for (const [caller, same] of byCaller) {
    const stack = same[0] as CallStack
    const isOnly = same.length === stacks.length
    if (same.length >= (isOnly ? threshold - 1 : threshold)) {
      found.push({ stack, count: counts.get(caller) ?? same.length })
    }
  }
  return found
}

/** Runs by caller. Runs between two samples are attributed to the caller of the later sample. */
function countsOf({ count }: QueryUse, stacks: readonly CallStack[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  let counted = 0
  for (const [index, { caller, run }] of stacks.entries()) {
    const upTo = index === stacks.length - 1 ? count : Math.min(run, count)
    counts.set(caller, (counts.get(caller) ?? 0) + Math.max(0, upTo - counted))
    counted = Math.max(counted, upTo)
  }
  return counts
}

const ADVICE = {
  'keep-answer': 'the values are the same each time: query once and keep the result',
  'write-together': 'write them together',
  'load-together': 'load them together',
} as const

/** Returns what to do about a repeat. */
export function adviceFor({ kind, use }: Pick<Repeat, 'kind' | 'use'>): keyof typeof ADVICE {
  if (kind === 'same') return 'keep-answer'
  return use.fingerprint.role === 'write' ? 'write-together' : 'load-together'
}

/**
 * Formats a repeat as the rest of a sentence: `"select …" 100 times (412 ms) at src/list.ts:31,
 * through ask (src/ask.ts:7); load them together`.
 */
export function formatRepeat(repeat: Repeat): string {
  const { use, count, place, via } = repeat
  const through = via === null ? '' : `, through ${via}`
  const times = `${count} times (${formatElapsed(use.busyMs)})`
  return `"${formatSql(use.fingerprint.text)}" ${times} at ${place}${through}; ${ADVICE[adviceFor(repeat)]}`
}
