import type { RestartReason } from '../diagnostics/events.ts'
import type { ExitCode } from '../errors/exit-codes.ts'
import type { KillReason } from '../ipc/messages.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { Timer } from './event.ts'
import type { RecycleReason } from './state.ts'

/** What `decide` wants done. None of these waits for a worker. */
export type Action =
  | { readonly type: 'spawn'; readonly worker: number; readonly generation: number; readonly replaces: number | null }
  | { readonly type: 'drain'; readonly worker: number; readonly why: string }
  /** `gently`: through the watchdog, which gives last answers, with SIGKILL close behind. Otherwise SIGKILL at once. */
  | { readonly type: 'kill'; readonly worker: number; readonly why: KillReason; readonly gently: boolean }
  /** Runs the release steps; a `released` event follows, whatever becomes of them. */
  | { readonly type: 'release'; readonly generation: number; readonly serving: boolean }
  /** Ends the release that runs; its `released` event follows all the same. */
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
  /** Something that people and service managers are told. */
  | { readonly type: 'announce'; readonly what: Announcement }
  | { readonly type: 'exit'; readonly code: ExitCode; readonly why: string }

export type Announcement =
  | { readonly of: 'starting'; readonly workers: number }
  | { readonly of: 'releasing'; readonly generation: number }
  | { readonly of: 'released'; readonly generation: number; readonly told: string }
  /** `serving`: the generation that goes on as if nothing had been asked for; null if there is none. */
  | {
      readonly of: 'release-failed'
      readonly generation: number
      readonly why: string
      readonly serving: number | null
    }
  | { readonly of: 'running'; readonly generation: number; readonly workers: number; readonly address: string }
  | { readonly of: 'worker-ready'; readonly worker: number; readonly bootMs: number; readonly replaces: number | null }
  | { readonly of: 'worker-left'; readonly worker: number }
  | {
      readonly of: 'worker-failed'
      readonly worker: number
      readonly reason: RestartReason
      readonly restartInMs: number
    }
  | { readonly of: 'recycling'; readonly worker: number; readonly why: RecycleReason }
  | { readonly of: 'frozen'; readonly worker: number; readonly forMs: number }
  | { readonly of: 'thawed'; readonly worker: number }
  | { readonly of: 'scaled'; readonly from: number; readonly to: number }
  | { readonly of: 'reloading'; readonly generation: number }
  | { readonly of: 'reloaded'; readonly generation: number; readonly tookMs: number }
  | {
      readonly of: 'reload-failed'
      readonly generation: number
      readonly reason: RestartReason
      readonly why: string
    }
  | { readonly of: 'stopping'; readonly why: string; readonly now: boolean }
  | { readonly of: 'crash-loop'; readonly reasons: Readonly<Record<string, number>> }
