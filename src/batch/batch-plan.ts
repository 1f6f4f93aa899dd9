import type { Milliseconds } from '../resilience/duration.ts'
import type { WaitContext } from '../resilience/wait-node.ts'

/** A batch as its app has described it, defaults filled in. */
export interface BatchPlan<Key, Value> {
  readonly name: string
  readonly loadMany: (keys: readonly Key[], wait: WaitContext) => unknown
  readonly max: number
  readonly timeout: Milliseconds
  readonly identityOf: (key: Key) => unknown
  readonly missing: (key: Key) => Value
}
