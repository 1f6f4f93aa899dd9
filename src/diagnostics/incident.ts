import { ProcessGlobal } from '../system/process-global.ts'

/**
 * What is recorded when a worker stalls, is killed, crashes or cannot boot. The arbiter writes each
 * incident to a JSON file of its own.
 */
export interface Incident {
  /** Sortable by time and unique within a state directory: `20261122T004331123-w2-stall`. */
  readonly id: string
  readonly kind: keyof typeof INCIDENT_KINDS
  /** When it began: wall time in ISO 8601. */
  readonly at: string
  readonly worker: { readonly id: number; readonly pid: number; readonly generation: number } | null
  /** The whole incident in one sentence, as of its last update. */
  readonly summary: string
  readonly outcome: keyof typeof INCIDENT_OUTCOMES
  /**
   * What was seen, oldest first: one entry for each stage (report, interrupt, kill) that was
   * reached.
   */
  readonly evidence: readonly StallEvidence[]
  /** How long the main thread was blocked in total, in milliseconds. */
  readonly stalledForMs?: number
  /**
   * The response to the request to blame: `503`, `closed` (its response had begun), `none` (no such
   * request).
   */
  readonly culprit?: '503' | 'closed' | 'none'
  /**
   * Other requests in flight when the stall was interrupted, and how many of them were answered.
   */
  readonly others?: { readonly inFlight: number; readonly served: number }
  readonly emergencyResponses?: EmergencyResponses
  readonly replacement?: { readonly worker: number; readonly afterMs: number }
  /** How the worker exited. */
  readonly exit?: { readonly code: number | null; readonly signal: string | null }
  readonly error?: ReportedError
  /** It happened while the worker was draining. */
  readonly draining?: true
  /** What kept the process of a drained worker alive: `1 timer`, `2 sockets to 127.0.0.1:5432`. */
  readonly waitingFor?: readonly string[]
  /**
   * Of a boot that did not complete: the file being imported, its importer, and so on up to the
   * entry. Absolute paths.
   */
  readonly imports?: readonly string[]
  /** Why a due interruption did not happen. */
  readonly notInterrupted?: NotInterruptedReason
  /** The connection that was not returned. */
  readonly leak?: LeakReport
  /** What a worker replaced for its memory used, and its limit, in bytes. */
  readonly memory?: { readonly rss: number; readonly limit: number }
  /** The heap of a worker that V8 aborted because it was full, in bytes. */
  readonly heap?: { readonly used: number; readonly limit: number }
  /** The failures that made a crash loop, counted by reason. */
  readonly failures?: { readonly withinMs: number; readonly reasons: Readonly<Record<string, number>> }
  /** Of an `internal-error`: the type of the event that the arbiter was handling. */
  readonly during?: string
  /** What was left out to keep the file within its size limit; absent if nothing was. */
  readonly truncated?: readonly string[]
}

/** The kinds of incidents. The page `docs/reference/events.md` is generated from this table. */
export const INCIDENT_KINDS = {
  stall: 'The main thread of a worker was blocked for longer than `stallReportAfter`.',
  frozen: 'A whole process sent no heartbeats: it was stopped, swapped out or starved of CPU.',
  boot: 'A worker exited, or was killed at `bootTimeout`, before it was ready.',
  crash:
    'A worker that served exited without having been asked to; or its shutdown failed: it threw, exited with a code other than 0, or was killed.',
  'stop-timeout': 'A worker did not exit within `stopTimeout` of being asked to, and was killed.',
  memory: 'A worker used more than `maxMemory` for `maxMemorySamples` seconds and is replaced.',
  leak: 'A connection of a guarded pool was checked out for longer than `leakThreshold`. The worker keeps running.',
  'crash-loop': 'Workers failed `crashLimit` times within `crashWindow`, and the arbiter gave up.',
  'internal-error': 'The arbiter itself failed because of a bug, killed its workers and exited with code 1.',
} as const

/** The outcomes of incidents. The page `docs/reference/events.md` is generated from this table. */
export const INCIDENT_OUTCOMES = {
  ongoing: 'It has not ended.',
  ended: 'It ended by itself, and the worker keeps running.',
  interrupted: 'The blocking JavaScript was interrupted; the worker finished its other requests and was replaced.',
  killed: 'The process was killed, after emergency responses to its clients where possible.',
  exited: 'The process exited by itself.',
} as const

/** The fields of an incident that lists show. */
export type IncidentSummary = Pick<Incident, 'id' | 'kind' | 'at' | 'worker' | 'summary' | 'outcome'>

/** Why the JavaScript of a blocked main thread was not interrupted. */
export type NotInterruptedReason =
  /** An `async_hooks` hook is enabled, under which an interruption may abort the process. */
  | 'async-hooks'
  /** The worker was interrupted before and is being replaced. */
  | 'interrupted-before'
  | 'blocked-in-system-call'
  /** `node --permission` without the inspector. */
  | 'no-permission'
  /** Native code is running that cannot be interrupted. */
  | 'native-code'
  /** It was interrupted, but its event loop did not continue. */
  | 'loop-did-not-turn'
  /** Another inspector session in the process, as agents have, resumes it from each pause. */
  | 'other-debugger'
  /** One request after another blocks the event loop. */
  | 'requests-one-after-another'

/** An error as it is sent between processes. */
export interface ReportedError {
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly code?: string
}

/** What the clients of a killed worker received. */
export interface EmergencyResponses {
  /** Requests in flight whose response had not begun: answered 503. */
  readonly inFlight: number
  /** Unread requests on keep-alive connections: answered 503. */
  readonly unread: number
  /** Connections that could not be answered (TLS, HTTP/2, half-sent, upgraded): closed. */
  readonly closed: number
  readonly tookMs: number
}

/** What the watchdog saw of a blocked main thread. */
export interface StallEvidence {
  readonly stage: 'report' | 'interrupt' | 'kill' | 'boot' | 'frozen'
  readonly stalledForMs: number
  /** Innermost frame first; null if there is none (blocked in a system call). */
  readonly stack: readonly StackFrame[] | null
  /**
   * The request being executed, read from AsyncLocalStorage while paused; null if none or unknown.
   */
  readonly request: RequestLine | null
  /** Oldest first, at most 50; `inFlightCount` counts all. */
  readonly inFlight: readonly RequestLine[]
  readonly inFlightCount: number
  readonly kernel: KernelEvidence | null
  /** Lag of the event loop in milliseconds, one value a second, newest last. */
  readonly loopLag: readonly number[]
  readonly memory: { readonly rss: number; readonly heapUsed: number; readonly heapLimit: number }
  /** Name of the `allowBlocking` job that exceeded its timeout, if one was running. */
  readonly allowBlocking: string | null
}

export interface StackFrame {
  readonly function: string
  /** Absolute path, `node:…` for Node's own code, or the URL of the script. */
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly column: number
}

export interface RequestLine {
  readonly method: string
  /** Without the query string. */
  readonly target: string
  readonly ageMs: number
}

/** What Linux reports about the main thread. */
export interface KernelEvidence {
  /**
   * `spinning` uses CPU, `waiting` is blocked in the kernel, `stopped` was stopped by a signal.
   */
  readonly doing: 'spinning' | 'waiting' | 'stopped' | 'unknown'
  /** Share of one CPU that the main thread used while it was watched, 0 to 1. */
  readonly cpuShare: number
  readonly wchan: string | null
  readonly syscall: string | null
  /** The file, pipe or socket of the system call, if it has one. */
  readonly target: string | null
  /** Programs of the worker's child processes (`execSync` waits for one), without arguments. */
  readonly children: readonly string[]
}

/** A connection that was checked out of a pool for too long. */
export interface LeakReport {
  readonly pool: string
  /** The operation that has it, and the place in the app that acquired it. */
  readonly borrower: string
  readonly heldForMs: number
}

const listener = new ProcessGlobal<(leak: LeakReport) => void>('reportLeak')

/** Sets the listener for leaks in this process. */
export function onLeak(report: (leak: LeakReport) => void): void {
  listener.set(report)
}

/** Reports a leak: in a worker of Punctual it becomes an incident, elsewhere nothing happens. */
export function reportLeak(leak: LeakReport): void {
  listener.get()?.(leak)
}
