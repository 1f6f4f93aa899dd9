import type { RestartReason } from '../diagnostics/events.ts'
import type { ExitCode } from '../errors/exit-codes.ts'
import type { Vitals } from '../ipc/messages.ts'
import type { Settings } from '../settings/settings.ts'

/**
 * The life of a worker, as the arbiter knows it:
 * - `spawned`: the process exists.
 * - `booting`: its watchdog has been heard; the app loads.
 * - `ready`: it serves.
 * - `stalled`: it served, and its main thread does not turn (or nothing of it beats any more).
 * - `draining`: it has been told to leave.
 * A worker that has exited is no longer in the list.
 */
export type Life = 'spawned' | 'booting' | 'ready' | 'stalled' | 'draining'

/** Why a worker is replaced although it serves. */
export type RecycleReason =
  | { readonly reason: 'memory'; readonly rss: number; readonly limit: number }
  | { readonly reason: 'requests'; readonly requests: number }
  | { readonly reason: 'lifetime' }
  | { readonly reason: 'stall-interrupted' }

export interface WorkerState {
  readonly id: number
  readonly generation: number
  pid: number | null
  life: Life
  /** Something was cut in it, so it is to leave. */
  tainted: boolean
  /** Why it is to be replaced and then drained; null while it is to stay. */
  leaving: RecycleReason | null
  /** The worker in whose place it was started. */
  readonly replaces: number | null
  readonly spawnedAt: number
  readyAt: number | null
  bootMs: number | null
  /** Monotonic time of the last sign of life of its watchdog. */
  beatAt: number
  vitals: Vitals | null
  /** Nothing of the process beats any more. */
  frozen: boolean
  /** It has been told to die, or said that it does, for this reason. */
  dying: RestartReason | null
  /** What its last words were, if it had any. */
  lastWords: string | null
  /** Limits spread by jitter, drawn when it was started, or when they were changed. */
  requestLimit: number
  lifetimeLimit: number
  /** Consecutive samples above the memory limit. */
  memorySamples: number
  memorySampledAt: number
}

export interface Reload {
  readonly generation: number
  readonly startedAt: number
  /** The command to reply to; null for a signal. */
  readonly command: number | null
  /** How many workers of the serving generation are kept up meanwhile. */
  readonly beside: number
}

/** Before which generations the release steps are run: where a config file names none, before none. */
export type ReleaseWhen = 'never' | 'reload' | 'always'

/** All that `decide` knows. Plain data: it can be compared, printed and replayed. */
export interface State {
  settings: Settings
  phase: 'starting' | 'running' | 'stopping' | 'stopped'
  wanted: number
  /** The generation that serves, or is to serve. */
  generation: number
  nextWorker: number
  nextGeneration: number
  workers: WorkerState[]
  /** Under way; the rest waits in `reloadQueue`. */
  reload: Reload | null
  /** Commands (or null for signals) whose reload has not begun. */
  reloadQueue: (number | null)[]
  readonly releases: ReleaseWhen
  /** The release steps that run now; nothing of their generation is started before they have ended. */
  releasing: { readonly generation: number; readonly startedAt: number } | null
  /** Address of the app, once any worker has said it. */
  address: string | null
  /** Unplanned ends since the start, by reason. */
  restarts: Partial<Record<RestartReason, number>>
  /** When workers failed, within the crash window; a burst counts once. */
  failures: { readonly at: number; readonly reason: RestartReason }[]
  /** How often the restart delay has been doubled. */
  delayLevel: number
  /** No worker is spawned before this instant. */
  spawnNotBefore: number
  lastFailureAt: number
  tickedAt: number
  exit: { readonly code: ExitCode; readonly why: string } | null
  /** State of the random generator that spreads limits. */
  random: number
}

/** @param seed any 32-bit integer; the same seed and events give the same decisions */
export function initialState(settings: Settings, seed: number, releases: ReleaseWhen = 'never'): State {
  return {
    settings,
    phase: 'starting',
    wanted: settings.workers,
    generation: 1,
    nextWorker: 1,
    nextGeneration: 2,
    workers: [],
    reload: null,
    reloadQueue: [],
    releases,
    releasing: null,
    address: null,
    restarts: {},
    failures: [],
    delayLevel: 0,
    spawnNotBefore: Number.NEGATIVE_INFINITY,
    lastFailureAt: Number.NEGATIVE_INFINITY,
    tickedAt: Number.NEGATIVE_INFINITY,
    exit: null,
    random: seed,
  }
}

/** Whether the app can be reached: a worker of the wanted generation is ready and not stalled. */
export function isReady(state: State): boolean {
  return (
    (state.phase === 'starting' || state.phase === 'running') &&
    state.workers.some((worker) => worker.generation === state.generation && worker.life === 'ready')
  )
}

/** Whether everybody is there who should be, and nobody else. */
export function isWhole({ phase, reload, workers, wanted }: State): boolean {
  return (
    phase === 'running' && reload === null && workers.length === wanted && workers.every(({ life }) => life === 'ready')
  )
}
