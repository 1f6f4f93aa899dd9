import { ms } from '../resilience/duration.ts'
import type { WaitNode } from '../resilience/wait-node.ts'

/** Writes down that the work was given something older than it asked for. */
export function recordDegraded(parent: WaitNode, name: string): void {
  if (parent.home === null) return
  const now = parent.wheel.now()
  const record = { name, startedAt: now, timeout: ms(0), outcome: 'degraded', endedAt: now } as const
  parent.home.waits.begin(record)
  parent.home.waits.end(record)
}
