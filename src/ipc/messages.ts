import type { CostlyImport } from '../diagnostics/boot-report.ts'
import type {
  EmergencyResponses,
  LeakReport,
  NotInterruptedReason,
  ReportedError,
  StallEvidence,
} from '../diagnostics/incident.ts'
import type { ReportedMetric } from '../diagnostics/metric-definition.ts'
import type { OutcomeCounts } from '../diagnostics/outcomes.ts'
import type { SettingsChange } from './worker-config.ts'

/**
 * The messages between the arbiter and a worker. A worker sends over two connections: its main
 * thread over the IPC channel of `node:cluster` (`FromMain`), its watchdog thread over a socket of
 * its own (`FromWatchdog`), which works while the main thread is blocked. The arbiter sends to the
 * watchdog only (`ToWorker`): an app's `process.on('message')` sees none of it, and a blocked
 * worker still receives the order to exit.
 */

/** From the main thread: the life cycle of the worker. */
export type FromMain =
  | {
      readonly type: 'ready'
      readonly bootMs: number
      readonly address: string
      readonly notes: readonly BootNote[]
      /** What the imports cost, as lines for the log, where the boot was profiled. */
      readonly profile?: readonly string[]
    }
  /** It has been ready for a second of its own event loop, and has not crashed. */
  | { readonly type: 'settled' }
  | { readonly type: 'boot-failed'; readonly error: ReportedError }
  /** What the app has answered instead of a 2xx status to a request of `readyPath`. */
  | { readonly type: 'not-ready'; readonly answer: string }
  /** The app has started a child process before it listened: the app itself, perhaps. */
  | { readonly type: 'child-started'; readonly command: string }
  /** A server of the app stops listening, so that its socket is not to be kept for others. */
  | { readonly type: 'socket-released'; readonly address: string | null; readonly port: number }
  /** An exception or rejection was not caught: the process is about to exit. */
  | { readonly type: 'crashing'; readonly error: ReportedError }
  /** The event loop turns again after an interrupt. */
  | { readonly type: 'interrupt-done'; readonly culprit: '503' | 'closed' | 'none'; readonly others: number }
  /** All requests that were in flight at the interrupt have ended. */
  | { readonly type: 'interrupt-served'; readonly served: number; readonly others: number }
  | SettingsChanged
  /** A connection of a pool has been checked out for longer than allowed. */
  | { readonly type: 'leak'; readonly leak: LeakReport }
  /** A message of the worker channel, for the arbiter or for all other workers. */
  | { readonly type: 'relay'; readonly to: 'arbiter' | 'others'; readonly topic: string; readonly message: unknown }
  /** What the modules of the toolkit report, by topic, and their metrics; about once a second. */
  | {
      readonly type: 'modules'
      readonly modules: Readonly<Record<string, unknown>>
      readonly metrics: readonly ReportedMetric[]
    }
  /** All servers of the app have closed; a `ready` follows if it listens again. */
  | {
      readonly type: 'not-listening'
      /** Requests since the worker started. */
      readonly served: number
    }
  /** It has drained and its app was told to stop, but the process does not exit. */
  | {
      readonly type: 'lingering'
      readonly notice: 'SIGTERM' | 'SIGINT' | 'message'
      /** `1 timer`, `2 sockets to 127.0.0.1:5432`. */
      readonly waitingFor: readonly string[]
    }
  /** Its requests have ended, and modules of the toolkit finish their work; about once a second. */
  | {
      readonly type: 'drain-waiting'
      /** `durable queue mails (12 items)`; empty when the wait is over. */
      readonly waitingFor: readonly string[]
      /** How long the worker still waits, in milliseconds; null without a limit. */
      readonly leftMs: number | null
    }
  | { readonly type: 'drained'; readonly answered: number; readonly aborted: number; readonly closedUpgrades: number }

/** What applies in this worker otherwise than the app or the user has asked for, as a sentence. */
export interface BootNote {
  readonly event: 'shared-socket' | 'default-host' | 'state-in-process' | 'export-served'
  readonly message: string
  /** Of `state-in-process`: packages that keep state in their process. */
  readonly found?: readonly string[]
}

/** The envelope that tells Punctual's messages from those of the app's own `process.send`. */
export interface MainEnvelope {
  readonly punctual: FromMain
}

/** Confirms that the change of settings with this number is in effect in the worker. */
export interface SettingsChanged {
  readonly type: 'settings-changed'
  readonly ask: number
}

/**
 * Why a worker is killed: `boot` and `stop-timeout` after that timeout, `stall` by its own
 * watchdog, `frozen` by the arbiter, `stop` on an immediate stop.
 */
export type KillReason = 'boot' | 'stall' | 'frozen' | 'stop-timeout' | 'stop'

/** From the watchdog thread, one JSON line each. */
export type FromWatchdog =
  | SettingsChanged
  | { readonly type: 'heartbeat'; readonly vitals: Vitals }
  /** The worker became ready later than `slowBootThreshold`. */
  | { readonly type: 'boot-slow'; readonly bootMs: number; readonly worst: readonly CostlyImport[] }
  | { readonly type: 'stall-reported'; readonly evidence: StallEvidence }
  | { readonly type: 'stall-ended'; readonly stalledForMs: number; readonly evidence: StallEvidence | null }
  | { readonly type: 'stall-interrupted'; readonly stalledForMs: number; readonly evidence: StallEvidence }
  /** Why the code was not interrupted although the stall was long enough. */
  | { readonly type: 'interrupt-impossible'; readonly why: NotInterruptedReason; readonly evidence: StallEvidence }
  | {
      readonly type: 'killing'
      readonly why: KillReason
      readonly evidence: StallEvidence | null
      readonly emergencyResponses: EmergencyResponses
    }

/** From the arbiter, one JSON line each. */
export type ToWorker =
  /**
   * Stop accepting, finish the requests in flight and exit. The timeouts count from the first
   * order. `keepIdle`: other workers keep serving, so idle connections stay open until their
   * keep-alive time is over; a later order may revoke that.
   */
  | { readonly type: 'drain'; readonly keepIdle: boolean }
  /** Answer 503 to every unanswered request, and exit. */
  | { readonly type: 'abort' }
  /** Send emergency responses, then kill the process with SIGKILL. */
  | { readonly type: 'die'; readonly why: KillReason }
  /** `punctual set` has changed settings. The thread named in `by` applies and confirms them. */
  | {
      readonly type: 'settings'
      readonly ask: number
      readonly change: SettingsChange
      readonly by: 'watchdog' | 'worker'
    }
  /** A message for the worker channel, from the arbiter or another worker. */
  | { readonly type: 'relay'; readonly topic: string; readonly message: unknown }
  /** The arbiter received this signal. `inspect`: Node may open its inspector on SIGUSR1. */
  | { readonly type: 'signal'; readonly signal: NodeJS.Signals; readonly inspect: boolean }

/**
 * The state of a worker, which its watchdog reads from shared memory and sends twice a second: also
 * true while the main thread is blocked.
 */
export interface Vitals {
  /** Milliseconds since the event loop last turned; about 0 when healthy. */
  readonly heartbeatAgeMs: number
  /** The largest lag of the event loop in the last second, in milliseconds. */
  readonly loopLagMs: number
  readonly requests: number
  readonly inFlight: number
  readonly connections: number
  /** How the requests have ended so far. */
  readonly outcomes: OutcomeCounts
  /** Requests queued by load shedding; also counted in `inFlight`. */
  readonly waiting: number
  /** Requests that would have been shed with `loadShedding: on`; 0 unless it is `dry-run`. */
  readonly wouldBeShed: number
  /** The worker receives more requests than it can process. */
  readonly overloaded: boolean
  /** Operations that still run although their wait has ended. */
  readonly abandonedOperations: number
  readonly rss: number
  readonly heapUsed: number
  readonly heapLimit: number
  /** Another inspector is attached, so the watchdog does nothing. */
  readonly debugged: boolean
}

/** A heap above this share of its limit is named as the reason why a process aborted. */
export const FULL_HEAP = 0.75

/** The topic of the worker channel for runtime values of the app. */
export const RUNTIME_TOPIC = 'settings'

/** From a worker about the runtime values that its app declares, as `punctual set` writes them. */
export type RuntimeToArbiter =
  | {
      readonly type: 'declare'
      readonly name: string
      /** In force in this worker now. */
      readonly value: string
      /** The app's own value, in effect where none is set. */
      readonly standard: string
      /** It must not be shown. Absent in workers with an older copy of the package. */
      readonly secret?: boolean
      /** Why the value that is set does not apply in this worker, as a sentence. */
      readonly refused: string | null
    }
  | { readonly type: 'withdraw'; readonly name: string }
  | RuntimeAnswer

/** The answer to the request with that number; `value` is the text as this worker writes it. */
export type RuntimeAnswer =
  | { readonly type: 'answer'; readonly ask: number; readonly ok: true; readonly value: string }
  | { readonly type: 'answer'; readonly ask: number; readonly ok: false; readonly why: string }

/** To a worker that has declared the name. Each is answered; `check` changes nothing. */
export type RuntimeToWorker =
  | { readonly type: 'check'; readonly ask: number; readonly name: string; readonly text: string }
  | { readonly type: 'set'; readonly ask: number; readonly name: string; readonly text: string }
  | { readonly type: 'unset'; readonly ask: number; readonly name: string }
