import type { LedgerHolder, WaitNode } from '../wait/wait-node.ts'
import { currentWaits } from '../wait/wait-scope.ts'

/** The request that is running, also from within a `runWithin` inside it; where there is none, the outermost `runWithin`. */
export function outermostScope(): LedgerHolder | undefined {
  let outermost: LedgerHolder | undefined
  for (let node: WaitNode | null = currentWaits() ?? null; node !== null; node = node.parent) {
    outermost = node.home ?? outermost
  }
  return outermost
}
