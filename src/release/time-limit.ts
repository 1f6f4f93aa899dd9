import { after, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { ReleaseError } from './release-error.ts'

export interface TimeLimit {
  /** Aborted when the limit has passed, or with the signal around it. */
  readonly signal: AbortSignal
  /** What is left, at least a millisecond. */
  left(): Milliseconds
  cancel(): void
}

/** A limit for several things that are done one after the other. */
export function timeTimeout(limit: Milliseconds, around: AbortSignal, name: string): TimeLimit {
  const own = new AbortController()
  const end = monotonicNow() + limit
  const cancel = after(limit, () => own.abort(passed(name, limit)), { keepAlive: false })
  return {
    signal: AbortSignal.any([own.signal, around]),
    left: () => ms(Math.max(1, end - monotonicNow())),
    cancel,
  }
}

function passed(name: string, limit: Milliseconds): ReleaseError {
  return new ReleaseError(`${name} (${formatElapsed(limit)}) has passed`, { phase: 'process', reason: 'timed-out' })
}
