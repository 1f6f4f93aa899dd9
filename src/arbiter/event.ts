import type { FromMain, FromWatchdog } from '../ipc/messages.ts'
import type { Settings } from '../settings/settings.ts'

/** What can happen to an arbiter. Everything that happens becomes one of these, is queued, and is decided one after the other. */
export type Event = { readonly at: number } & (
  | { readonly type: 'start' }
  /** Twice a second. */
  | { readonly type: 'tick' }
  | { readonly type: 'signal'; readonly signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGTTIN' | 'SIGTTOU' }
  | { readonly type: 'command'; readonly id: number; readonly command: Command }
  /** They have been changed while running. */
  | { readonly type: 'settings'; readonly settings: Settings }
  | { readonly type: 'spawned'; readonly worker: number; readonly pid: number }
  | { readonly type: 'spawn-failed'; readonly worker: number; readonly why: string }
  | { readonly type: 'exited'; readonly worker: number; readonly code: number | null; readonly signal: string | null }
  /** The release steps of a generation have ended. `why`: a sentence, or the reason why they failed. */
  | { readonly type: 'released'; readonly generation: number; readonly ok: boolean; readonly why: string }
  /** One of the timers that an action has set. */
  | { readonly type: 'timer'; readonly timer: Timer }
  | { readonly type: 'told'; readonly worker: number; readonly message: FromMain | FromWatchdog }
)

export type Command =
  | { readonly name: 'reload' }
  | { readonly name: 'scale'; readonly change: { readonly to: number } | { readonly by: number } }
  | { readonly name: 'stop' }

/** `boot` and `stop` are limits of a worker's life; `spawn` ends the delay before the next restart. */
export type Timer = { readonly of: 'boot' | 'stop'; readonly worker: number } | { readonly of: 'spawn' }
