import type { EmergencyResponses, NotCutReason, ReportedError, StallEvidence } from '../diagnostics/incident.ts'
import type { LeakReport } from '../diagnostics/leak-report.ts'
import type { CostlyImport } from '../diagnostics/modules/boot-report.ts'
import type { OutcomeCounts } from '../diagnostics/outcomes.ts'
import type { SettingsChange } from './settings-change.ts'

/**
 * What the arbiter and a worker say to each other. Two ways lead out of a worker: its main thread speaks over the IPC channel
 * of `node:cluster` (`FromMain`), its watchdog thread over a socket of its own (`FromWatchdog`), which works while the main
 * thread stands still. Everything the arbiter says goes to the watchdog (`ToWorker`), so that an app that listens to
 * `process.on('message')` never sees a word of it, and so that a blocked worker still hears that it must go.
 */

/** From the main thread: how its life proceeds. */
export type FromMain =
  | {
      readonly type: 'ready'
      readonly bootMs: number
      readonly address: string
      /** Settings that do not apply in this worker, and why, as sentences. */
      readonly notes: readonly string[]
      /** What its imports cost, as lines for the log, where the boot was profiled. */
      readonly profile?: readonly string[]
    }
  | { readonly type: 'boot-failed'; readonly error: ReportedError }
  /** It threw, or rejected, and nobody caught it: the process is about to end. */
  | { readonly type: 'crashing'; readonly error: ReportedError }
  /** The main thread turns again after a cut. */
  | { readonly type: 'interrupt-done'; readonly culprit: '503' | 'closed' | 'none'; readonly others: number }
  /** All requests that were in flight at the cut have ended. */
  | { readonly type: 'interrupt-served'; readonly served: number; readonly others: number }
  | SettingsChanged
  /** A pool of the app has lent a connection for longer than its limit. */
  | { readonly type: 'leak'; readonly leak: LeakReport }
  /** A room of the toolkit speaks over the worker's line: to the arbiter, or to all other workers. */
  | { readonly type: 'line'; readonly to: 'arbiter' | 'others'; readonly topic: string; readonly message: unknown }
  /** What the modules of the toolkit report of themselves, by topic; about once a second. */
  | { readonly type: 'modules'; readonly modules: Readonly<Record<string, unknown>> }
  | { readonly type: 'drained'; readonly answered: number; readonly aborted: number; readonly closedUpgrades: number }

/** The envelope that tells ours from an app's own `process.send`. */
export interface MainEnvelope {
  readonly punctual: FromMain
}

/** The change of settings with that number is in force here. */
export interface SettingsChanged {
  readonly type: 'settings-changed'
  readonly ask: number
}

/**
 * Why a worker is killed: `boot` and `stop-limit` when that limit has passed, `stall` by its own watchdog, `frozen` by the arbiter, `stop`
 * when everything stops at once.
 */
export type KillReason = 'boot' | 'stall' | 'frozen' | 'stop-timeout' | 'stop'

/** From the watchdog thread, one JSON line each. */
export type FromWatchdog =
  | SettingsChanged
  | { readonly type: 'beat'; readonly vitals: Vitals }
  /** It became ready, and later than `slowBootThreshold` allows. */
  | { readonly type: 'boot-slow'; readonly bootMs: number; readonly worst: readonly CostlyImport[] }
  | { readonly type: 'stall-reported'; readonly evidence: StallEvidence }
  | { readonly type: 'stall-ended'; readonly stalledForMs: number; readonly evidence: StallEvidence | null }
  | { readonly type: 'stall-interrupted'; readonly stalledForMs: number; readonly evidence: StallEvidence }
  /** Why a cut was due and did not happen. */
  | { readonly type: 'interrupt-impossible'; readonly why: NotCutReason; readonly evidence: StallEvidence }
  | {
      readonly type: 'killing'
      readonly why: KillReason
      readonly evidence: StallEvidence | null
      readonly emergencyResponses: EmergencyResponses
    }

/** From the arbiter, one JSON line each. */
export type ToWorker =
  /**
   * Stop accepting, finish, leave. The limits count from the first receipt. `keepIdle`: others serve on, so an idle connection is not
   * closed before its keep-alive time is over; a later order may take that back.
   */
  | { readonly type: 'drain'; readonly keepIdle: boolean }
  /** Answer 503 to whatever is still unanswered, and leave. */
  | { readonly type: 'abort' }
  /** Give last answers, then SIGKILL yourself. */
  | { readonly type: 'die'; readonly why: KillReason }
  /** Settings have been changed by `punctual set`; whoever of the two applies them says so. */
  | {
      readonly type: 'settings'
      readonly ask: number
      readonly change: SettingsChange
      readonly by: 'watchdog' | 'worker'
    }
  /** For a room of the toolkit, from the arbiter or from another worker. */
  | { readonly type: 'line'; readonly topic: string; readonly message: unknown }

/** How a worker is, twice a second, told by its watchdog from shared memory: true even while the main thread stands still. */
export interface Vitals {
  /** How long the main thread has not turned, in milliseconds; about 0 when healthy. */
  readonly heartbeatAgeMs: number
  /** The largest lag of the event loop in the last second, in milliseconds. */
  readonly loopLagMs: number
  readonly requests: number
  readonly inFlight: number
  readonly connections: number
  /** How the requests have ended so far. */
  readonly outcomes: OutcomeCounts
  /** Requests that wait to be let in; they are counted in `inFlight`. */
  readonly waiting: number
  /** Requests that admission would have shed if it were `on`; 0 unless it is `dark`. */
  readonly wouldBeShed: number
  /** More comes than can be done. */
  readonly overloaded: boolean
  /** Work that goes on although nobody awaits it any more. */
  readonly abandonedOperations: number
  readonly rss: number
  readonly heapUsed: number
  readonly heapLimit: number
  /** Somebody else's inspector is attached, so the watch stands down. */
  readonly debugged: boolean
}
