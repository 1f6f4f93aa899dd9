import type { OutcomeCounts } from './outcomes.ts'
import type { ReleaseStatus } from './release-report.ts'

/**
 * The JSON of `/status` and `punctual status`. Fields may be added, not renamed. Times are in
 * milliseconds unless their name says otherwise.
 */
export interface Status {
  readonly name: string
  readonly version: string
  readonly pid: number
  readonly phase: 'starting' | 'running' | 'reloading' | 'stopping'
  readonly generation: number
  readonly wanted: number
  readonly startedAt: string
  readonly uptimeMs: number
  readonly ready: boolean
  readonly address: string | null
  readonly workers: readonly WorkerStatus[]
  /** The release of the newest generation; null before the first. */
  readonly release?: ReleaseStatus | null
  /** Unplanned exits since the start, by reason. */
  readonly restarts: Readonly<Record<string, number>>
  /** Since the start; `newest` is an id. */
  readonly incidents: {
    readonly total: number
    readonly newest: string | null
    readonly byKind?: Readonly<Record<string, number>>
  }
  /** Settings and values of the app that are set by `punctual set`, by name. */
  readonly set: Readonly<Record<string, string>>
}

export interface WorkerStatus {
  readonly id: number
  readonly pid: number | null
  readonly generation: number
  readonly state: 'spawned' | 'booting' | 'ready' | 'not-listening' | 'draining' | 'stalled' | 'exited'
  readonly tainted: boolean
  readonly ageMs: number
  readonly bootMs: number | null
  readonly requests: number
  readonly inFlight: number
  readonly connections: number
  /** Its requests by outcome. */
  readonly outcomes: OutcomeCounts
  /** Requests queued by load shedding; they are included in `inFlight`. */
  readonly waiting: number
  /**
   * Requests that load shedding would have shed if it were `on`; shed requests are in `outcomes`.
   */
  readonly wouldBeShed: number
  /** Load shedding considers it overloaded. */
  readonly overloaded: boolean
  /** Operations that continue after their wait has timed out or was abandoned. */
  readonly abandonedOperations: number
  readonly heartbeatAgeMs: number | null
  readonly loopLagMs: number | null
  readonly rssBytes: number | null
  readonly heapUsedBytes: number | null
  readonly debugged: boolean
  /** What its process waits for once its requests have drained; empty before. */
  readonly waitingFor: readonly string[]
  /** The reports of the toolkit's modules (queues, caches, …) by topic, up to a second old. */
  readonly modules: Readonly<Record<string, unknown>>
}
