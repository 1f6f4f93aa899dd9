import type { ExitCode } from '../errors/codes.ts'
import type { FromMain, FromWatchdog, KillReason } from '../ipc/messages.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'
import type { ORDER_SIGNALS } from './signals.ts'
import type { RecycleReason, RestartReason } from './state.ts'

/** Everything that can happen to an arbiter: the input of `decide`. */
export type Event = { readonly at: number } & (
  | { readonly type: 'start' }
  /** Twice a second. */
  | { readonly type: 'tick' }
  | { readonly type: 'signal'; readonly signal: (typeof ORDER_SIGNALS)[number] }
  | { readonly type: 'command'; readonly id: number; readonly command: Command }
  /** The settings were changed at run time. */
  | { readonly type: 'settings'; readonly settings: Settings }
  | { readonly type: 'spawned'; readonly worker: number; readonly pid: number }
  | { readonly type: 'spawn-failed'; readonly worker: number; readonly why: string }
  /** Its IPC channel has closed, and with it the sockets that it shares. */
  | { readonly type: 'disconnected'; readonly worker: number }
  | { readonly type: 'exited'; readonly worker: number; readonly code: number | null; readonly signal: string | null }
  /** The release steps of a generation have finished. `why`: their outcome, or why they failed. */
  | { readonly type: 'released'; readonly generation: number; readonly ok: boolean; readonly why: string }
  /** A timer set by an action has fired. */
  | { readonly type: 'timer'; readonly timer: Timer }
  | { readonly type: 'message'; readonly worker: number; readonly message: FromMain | FromWatchdog }
)

export type Command =
  | { readonly name: 'reload' }
  | { readonly name: 'scale'; readonly change: { readonly to: number } | { readonly by: number } }
  | { readonly name: 'stop' }

/**
 * `boot` and `stop` are timeouts of a worker, `listen` limits how long it may be without a server;
 * `spawn` ends the delay before the next restart, `stop-delay` that before the workers drain.
 */
export type Timer =
  | { readonly of: 'boot' | 'stop' | 'listen'; readonly worker: number }
  | { readonly of: 'spawn' }
  | { readonly of: 'stop-delay' }

/** What the arbiter must do: the output of `decide`. No action waits for a worker. */
export type Action =
  | { readonly type: 'spawn'; readonly worker: number; readonly generation: number; readonly replaces: number | null }
  /** Closes the listening sockets of the arbiter, so that clients are refused. */
  | { readonly type: 'stop-listening' }
  | { readonly type: 'drain'; readonly worker: number; readonly why: string }
  /** `gently`: the watchdog sends emergency responses first, with SIGKILL as a fallback. */
  | { readonly type: 'kill'; readonly worker: number; readonly why: KillReason; readonly gently: boolean }
  /** Runs the release steps; a `released` event follows in any case. */
  | { readonly type: 'release'; readonly generation: number; readonly serving: boolean }
  /** Aborts the running release; its `released` event still follows. */
  | { readonly type: 'abort-release'; readonly why: string }
  | { readonly type: 'set-timer'; readonly timer: Timer; readonly after: Milliseconds }
  | { readonly type: 'clear-timer'; readonly timer: Timer }
  /** `details`: the facts of a refusal, for programs. */
  | {
      readonly type: 'reply'
      readonly command: number
      readonly ok: boolean
      readonly message: string
      readonly details?: Readonly<Record<string, unknown>>
    }
  /** Something for the log, the service manager and the incidents. */
  | { readonly type: 'announce'; readonly what: Announcement }
  /** `failures`: the workers whose shutdown failed; absent if none did. */
  | { readonly type: 'exit'; readonly code: ExitCode; readonly why: string; readonly failures?: readonly string[] }

export type Announcement =
  | { readonly of: 'starting'; readonly workers: number }
  | { readonly of: 'releasing'; readonly generation: number }
  | { readonly of: 'released'; readonly generation: number; readonly message: string }
  /** `serving`: the generation that keeps serving; null if there is none. */
  | {
      readonly of: 'release-failed'
      readonly generation: number
      readonly why: string
      readonly serving: number | null
    }
  | { readonly of: 'running'; readonly generation: number; readonly workers: number; readonly address: string }
  | { readonly of: 'worker-ready'; readonly worker: number; readonly bootMs: number; readonly replaces: number | null }
  | {
      readonly of: 'worker-exited'
      readonly worker: number
      readonly pid: number | null
      readonly drained: boolean
      readonly code: number | null
      readonly signal: string | null
    }
  | {
      readonly of: 'worker-failed'
      readonly worker: number
      readonly reason: RestartReason
      readonly restartInMs: number
    }
  | { readonly of: 'recycling'; readonly worker: number; readonly why: RecycleReason }
  /** Workers exceed `maxMemory` soon after they are ready, so replacing them does not help. */
  | {
      readonly of: 'max-memory-too-low'
      readonly worker: number
      readonly rss: number
      readonly limit: number
      readonly afterMs: number
      readonly nextInMs: number
    }
  | { readonly of: 'frozen'; readonly worker: number; readonly forMs: number }
  | { readonly of: 'unfrozen'; readonly worker: number }
  | { readonly of: 'scaled'; readonly from: number; readonly to: number }
  | { readonly of: 'reloading'; readonly generation: number }
  | { readonly of: 'reloaded'; readonly generation: number; readonly tookMs: number }
  | {
      readonly of: 'reload-failed'
      readonly generation: number
      readonly reason: RestartReason
      readonly why: string
    }
  /** `delayMs`: how long the workers serve before they drain. */
  | { readonly of: 'stopping'; readonly why: string; readonly now: boolean; readonly delayMs: number }
  | { readonly of: 'crash-loop'; readonly reasons: Readonly<Record<string, number>> }
