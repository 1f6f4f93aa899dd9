import type { LeakReport } from './leak-report.ts'

/** What is recorded when a worker stalls, is killed, crashes or cannot boot: one JSON file each, written by the arbiter. */
export interface Incident {
  /** Sortable by time and unique within a state directory: `20261122T004331123-w2-stall`. */
  readonly id: string
  readonly kind: 'stall' | 'frozen' | 'boot' | 'crash' | 'memory' | 'leak' | 'crash-loop' | 'internal-error'
  /** ISO 8601 wall time of the start. */
  readonly at: string
  readonly worker: { readonly id: number; readonly pid: number; readonly generation: number } | null
  /** The whole summary in one sentence, as it stands now. */
  readonly summary: string
  readonly outcome: 'ongoing' | 'ended' | 'interrupted' | 'killed' | 'exited'
  /** What was seen, oldest first: one entry for each stage (report, cut, kill) that was reached. */
  readonly evidence: readonly StallEvidence[]
  /** How long the main thread stood still in all, in milliseconds. */
  readonly stalledForMs?: number
  /** The answer the culprit's client got: `503`, `closed` (its response had begun), `none` (no request was to blame). */
  readonly culprit?: '503' | 'closed' | 'none'
  /** Other requests that were in flight when the stall was cut, and how many of them were answered. */
  readonly others?: { readonly inFlight: number; readonly served: number }
  readonly emergencyResponses?: EmergencyResponses
  readonly replacement?: { readonly worker: number; readonly afterMs: number }
  /** Exit code or signal, where the worker has left. */
  readonly exit?: { readonly code: number | null; readonly signal: string | null }
  readonly error?: ReportedError
  /** Of a boot that did not end: the file that was being imported, who imports it, and so on up to the entry. Absolute paths. */
  readonly imports?: readonly string[]
  /** Why a cut that was due did not happen. */
  readonly notInterrupted?: NotInterruptedReason
  /** What was borrowed and not given back. */
  readonly leak?: LeakReport
  /** What a worker replaced for its memory used, and its limit, in bytes. */
  readonly memory?: { readonly rss: number; readonly limit: number }
  /** The heap of a worker whose process aborted because it was full, in bytes. */
  readonly heap?: { readonly used: number; readonly limit: number }
  /** The failures that made a crash loop, counted by reason. */
  readonly failures?: { readonly withinMs: number; readonly reasons: Readonly<Record<string, number>> }
  /** Of an `internal-error`: the type of the event that the arbiter was handling. */
  readonly during?: string
  /** What was left out to keep the file within its size; absent when it is whole. */
  readonly truncated?: readonly string[]
}

/** Why the JavaScript of a stalled main thread was not cut. */
export type NotInterruptedReason =
  /** An `async_hooks` hook is enabled, under which a cut may abort the process. */
  | 'async-hooks'
  /** The worker has been cut before and is on its way out. */
  | 'interrupted-before'
  | 'blocked-in-system-call'
  /** It runs native code that cannot be interrupted. */
  | 'native-code'
  /** It was cut, and its loop did not turn all the same. */
  | 'loop-did-not-turn'
  /** The loop is kept from turning by one request after another. */
  | 'requests-one-after-another'

/** What a list of incidents shows of one. */
export type IncidentSummary = Pick<Incident, 'id' | 'kind' | 'at' | 'worker' | 'summary' | 'outcome'>

/** An error as it travels between processes. */
export interface ReportedError {
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly code?: string
}

/** What the clients of a killed worker were told. */
export interface EmergencyResponses {
  /** Requests in flight whose response had not begun: answered 503. */
  readonly inFlight: number
  /** Requests lying unread on a keep-alive connection: answered 503. */
  readonly unread: number
  /** Connections that could not be answered (TLS, HTTP/2, half-sent, upgraded): closed. */
  readonly closed: number
  readonly tookMs: number
}

/** What the watchdog saw of a main thread that stands still. */
export interface StallEvidence {
  readonly stage: 'report' | 'interrupt' | 'kill' | 'boot' | 'frozen'
  readonly stalledForMs: number
  /** Innermost frame first; null where no stack could be had (blocked in a system call). */
  readonly stack: readonly StackFrame[] | null
  /** The request being executed, read from AsyncLocalStorage while paused; null if none or not known. */
  readonly request: RequestLine | null
  /** Oldest first, at most 50; `inFlightCount` has them all. */
  readonly inFlight: readonly RequestLine[]
  readonly inFlightCount: number
  readonly kernel: KernelEvidence | null
  /** Lag of the event loop in milliseconds, one figure a second, the newest last. */
  readonly loopLag: readonly number[]
  readonly memory: { readonly rss: number; readonly heapUsed: number; readonly heapLimit: number }
  /** Name of the `allowBlocking` whose limit ran out, if one was under way. */
  readonly allowBlocking: string | null
}

export interface StackFrame {
  readonly function: string
  /** Absolute path, `node:…` for Node's own, or the script's URL. */
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly column: number
}

export interface RequestLine {
  readonly method: string
  readonly target: string
  readonly ageMs: number
}

/** What Linux says of the main thread. */
export interface KernelEvidence {
  /** `spinning` burns CPU, `waiting` is blocked in the kernel, `stopped` has been stopped by a signal. */
  readonly doing: 'spinning' | 'waiting' | 'stopped' | 'unknown'
  /** Share of one CPU that the main thread used while it was watched, 0 to 1. */
  readonly cpuShare: number
  readonly wchan: string | null
  readonly syscall: string | null
  /** The file, pipe or socket the system call is about, where it names one. */
  readonly target: string | null
  /** Command lines of child processes of the worker (what an `execSync` waits for). */
  readonly children: readonly string[]
}
