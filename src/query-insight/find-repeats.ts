import { monotonicNow } from '../resilience/clock.ts'
import type { CallStack } from './call-stack.ts'
import { nextLook } from './look-budget.ts'
import type { QueryRepeats } from './query-repeats.ts'
import type { QueryTally } from './query-tally.ts'
import type { QueryUse } from './query-use.ts'
import type { Repeat } from './repeat.ts'
import { repeatPlace } from './repeat-place.ts'

/** Milliseconds between runs with the same values from which on somebody waits for something to change. */
const POLLING = 50

/** The repeats in what was counted that should not be, the most first. */
export async function findRepeats(tally: QueryTally): Promise<readonly Repeat[]> {
  const found: Repeat[] = []
  for (const use of tally.suspects ?? []) {
    const { repeats } = use
    const kind = repeats === null ? null : kindOf(use, repeats, tally.repeats)
    if (repeats === null || kind === null) continue
    for (const { stack, count } of places(use, repeats.stacks, repeats.known ? 2 : tally.repeats)) {
      use.fingerprint.addCaller(stack.caller, nextLook(monotonicNow()))
      found.push({ use, kind, count, ...(await repeatPlace(stack.caller, stack.frames)) })
    }
  }
  return found.sort((one, other) => other.count - one.count)
}

/** Null for what is as it should be. */
function kindOf(use: QueryUse, { differ, afresh, pause }: QueryRepeats, repeats: number): Repeat['kind'] | null {
  if (use.count < repeats) return null
  // One stretch after the other is how to read what is too much at once.
  if (differ !== 'nothing') return differ === 'rows' ? 'rows' : null
  const asked = use.fingerprint.role === 'read' && use.count - afresh >= repeats
  return asked && pause < POLLING ? 'same' : null
}

interface Place {
  readonly stack: CallStack
  readonly count: number
}

/** The places that asked often enough. The first run of all was not looked at: it is taken for one of the place that all others came from. */
function places(use: QueryUse, stacks: readonly CallStack[], repeats: number): readonly Place[] {
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
    const alone = same.length === stacks.length
    if (same.length >= (alone ? repeats - 1 : repeats)) found.push({ stack, count: counts.get(caller) ?? same.length })
  }
  return found
}

/** Runs by caller: those between two that were looked at are taken for the later one's. */
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
