import type { OutcomeCounts } from './outcomes.ts'
import type { ReleaseStatus } from './release-report.ts'

/** The JSON of `/status` and `punctual status`. Fields are added, never renamed. Times are milliseconds unless named otherwise. */
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
  /** The release steps of the newest generation; null until there have been any. */
  readonly release?: ReleaseStatus | null
  /** Unplanned ends since the start, counted by reason. */
  readonly restarts: Readonly<Record<string, number>>
  /** Since the start; `newest` is an id. */
  readonly incidents: {
    readonly total: number
    readonly newest: string | null
    readonly byKind?: Readonly<Record<string, number>>
  }
  /** What `punctual set` has set: settings and values of the app, by name. */
  readonly set: Readonly<Record<string, string>>
}

export interface WorkerStatus {
  readonly id: number
  readonly pid: number | null
  readonly generation: number
  readonly state: 'spawned' | 'booting' | 'ready' | 'draining' | 'stalled' | 'exited'
  readonly tainted: boolean
  readonly ageMs: number
  readonly bootMs: number | null
  readonly requests: number
  readonly inFlight: number
  readonly connections: number
  /** How its requests have ended. */
  readonly outcomes: OutcomeCounts
  /** Requests that wait to be let in; they are counted in `inFlight`. */
  readonly waiting: number
  /** Requests that admission would have shed if it were `on`; those that it has shed are in `outcomes`. */
  readonly wouldBeShed: number
  /** More comes than can be done. */
  readonly overloaded: boolean
  /** Work that goes on although nobody awaits it any more. */
  readonly abandonedOperations: number
  readonly heartbeatAgeMs: number | null
  readonly loopLagMs: number | null
  readonly rssBytes: number | null
  readonly heapUsedBytes: number | null
  readonly debugged: boolean
  /** What the modules of the toolkit report of themselves (deferred work, caches, …), by topic; newest first told up to a second ago. */
  readonly modules: Readonly<Record<string, unknown>>
}
