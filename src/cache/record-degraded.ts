import { ms } from '../wait/duration.ts'
import type { WaitNode } from '../wait/wait-node.ts'

/** Writes down that the work was given something older than it asked for. */
export function recordDegraded(parent: WaitNode, name: string): void {
  if (parent.home === null) return
  const now = parent.wheel.now()
  const record = { name, startedAt: now, limit: ms(0), outcome: 'degraded', endedAt: now } as const
  parent.home.ledger.begin(record)
  parent.home.ledger.end(record)
}
