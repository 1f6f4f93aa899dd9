import type { WaitNode, WaitsHolder } from '../resilience/wait-node.ts'
import { currentWaits } from '../resilience/wait-scope.ts'

/** The request that is running, also from within a `withDeadline` inside it; where there is none, the outermost `withDeadline`. */
export function outermostScope(): WaitsHolder | undefined {
  let outermost: WaitsHolder | undefined
  for (let node: WaitNode | null = currentWaits() ?? null; node !== null; node = node.parent) {
    outermost = node.home ?? outermost
  }
  return outermost
}
